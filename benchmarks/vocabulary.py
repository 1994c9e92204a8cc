"""Which words do the vectors decode to? The projection of one pair and collection onto the vocabulary, layer by layer.

    python benchmarks/vocabulary.py                                                       the pair of `retroscope demo`
    python benchmarks/vocabulary.py --before BACKBONE --after RETRIEVER --data SPEC --pooling mean [--queries 300]

Prints the table of docs/methods/vocabulary.md, and the seconds of one logit.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import pandas as pd

from erasure import pair_context, subject_of
from retroscope.analyses.retrieval import ANALYSIS as RETRIEVAL
from retroscope.analyses.section import Reading
from retroscope.analyses.vocabulary.measure import INSTRUMENT
from retroscope.analyses.vocabulary.report import REPORTER
from retroscope.analyses.vocabulary.settings import VocabularySettings


def main() -> None:
    """Measure and print."""
    args = _arguments()
    settings = VocabularySettings(k=args.k, centred=args.centred)
    with TemporaryDirectory() as folder:
        context = pair_context(args, Path(folder))
        for model in context.models.values():
            context.encoded(model)
        reason = INSTRUMENT.refusal(context, settings)
        if reason:
            raise SystemExit(reason)
        planned = INSTRUMENT.plan(context, settings)
        start = process_time()
        measurement = INSTRUMENT.measure(context, settings, planned)
        print(f"{planned.lines[0]}: planned {planned.seconds:.1f} s, took {process_time() - start:.1f} s")
        subject = subject_of(context)
        retrieved = _retrieved(context, subject)
        reading = Reading(subject, {"retrieval": retrieved})
        result = REPORTER.infer([replace(measurement, collection=context.collection.name)], reading)
    for side, scores in result.scores.items():
        print(f"\n{side}\n{scores.mean().to_pandas().round(3).to_string()}")
    for one in result.associated:
        print(one)
    for statement in REPORTER.report(result, reading).statements:
        print(f"[{statement.label}] {statement.text}")
    with pd.option_context("display.width", 220, "display.max_colwidth", 90):
        print(result.says.groupby("side").head(args.examples)[["query_id", "side", "query_says", "passage_says"]])


def _retrieved(context: Any, subject: Any) -> Any:
    """Return what retrieval found, by which queries flipped."""
    assert RETRIEVAL.instrument is not None
    instrument = RETRIEVAL.instrument()
    settings = RETRIEVAL.settings()()
    measured = instrument.measure(context, settings, instrument.plan(context, settings))
    return RETRIEVAL.reporter().infer([replace(measured, collection=context.collection.name)], Reading(subject))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before")
    parser.add_argument("--after")
    parser.add_argument("--data")
    parser.add_argument("--pooling")
    parser.add_argument("--queries", type=int, default=0, help="first judged queries that are kept; 0: all")
    parser.add_argument("--measure", default="RR@10")
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--centred", action="store_true")
    parser.add_argument("--examples", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
