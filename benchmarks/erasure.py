"""What is readable, and what is used? Erasure of one pair and collection, layer by layer.

    python benchmarks/erasure.py --ranks 2 8                                           the pair of `retroscope demo`
    python benchmarks/erasure.py --before BACKBONE --after RETRIEVER --data SPEC --pooling mean [--queries 300]

Prints the table of docs/methods/erasure.md. Needs the extra `erasure`.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import pandas as pd

from retroscope.analyses.context import Context
from retroscope.analyses.erasure.measure import INSTRUMENT
from retroscope.analyses.erasure.report import REPORTER
from retroscope.analyses.erasure.settings import ErasureSettings
from retroscope.analyses.section import Reading
from retroscope.collection.collection import Collection
from retroscope.collection.loading import load_collection
from retroscope.encoders.loading import load_retriever
from retroscope.inputs.load import collection_of
from retroscope.inputs.pairing import compared_like
from retroscope.inputs.provenance import collection_facts, model_facts
from retroscope.inputs.settings import DataSettings, StudySettings
from retroscope.study import demo
from retroscope.study.reporting.facts import collection_from_facts, model_from_facts
from retroscope.typesetting.subject import Subject

SHOWN = ["side", "layer", "rank", "readable", "readable_erased", "intact", "erased", "random", "variance", "removed",
         "removed_random", "beyond", "ci_low", "ci_high", "p_rank", "p_corrected", "use", "shuffled_beyond",
         "p_shuffled", "shared", "shared_shuffled", "p_fall", "at_floor"]  # fmt: skip


def main() -> None:
    """Measure and print."""
    args = _arguments()
    given: dict[str, str] = dict(one.split("=") for one in args.set)
    values: dict[str, Any] = {name: int(value) if value.isdecimal() else value for name, value in given.items()}
    values |= {name: tuple(getattr(args, name)) for name in ("ranks", "layers") if getattr(args, name)}
    with TemporaryDirectory() as folder:
        context = pair_context(args, Path(folder))
        settings = ErasureSettings(measure=args.measure, **values)
        reason = INSTRUMENT.refusal(context, settings)
        if reason:
            raise SystemExit(reason)
        planned = INSTRUMENT.plan(context, settings)
        print(planned.lines[0])
        start = process_time()
        measurement = INSTRUMENT.measure(context, settings, planned)
        print(f"{process_time() - start:,.0f} s of the processor, vectors included")
        reading = Reading(subject_of(context))
        result = REPORTER.infer([replace(measurement, collection=context.collection.name)], reading)
    print("\n".join(result.notes))
    with pd.option_context("display.width", 250, "display.max_columns", 40):
        print(result.table[SHOWN].round(3).to_string(index=False))
    for statement in REPORTER.report(result, reading).statements:
        print(f"[{statement.label}] {statement.text}")


def pair_context(args: argparse.Namespace, folder: Path) -> Context:
    """Return the pair and its collection: the shipped ones where none are named."""
    if args.before is None:
        world, shipped = demo.write_demo_world(folder / "world"), demo.shipped()
        names = (str(shipped.backbone), str(shipped.retriever))
        collection = collection_of(DataSettings(source=f"beir:{world}", split="test"))
        load: dict[str, Any] = {"pooling": "mean", "max_length": 64, "similarity": "cosine"}
    else:
        names, collection = (args.before, args.after), load_collection(args.data)
        load = {"pooling": args.pooling}
    after = load_retriever(names[1], **(load if args.before else {}))
    before = compared_like(load_retriever(names[0], **load), after)
    settings = StudySettings(measures=(args.measure,))
    return Context({"before": before, "after": after}, _cut(collection, args.queries), settings, folder / "vectors")


def _cut(collection: Collection, queries: int) -> Collection:
    """Return the first judged queries with their judgments; the corpus stays whole."""
    if not queries:
        return collection
    kept = {query: collection.queries[query] for query in collection.judged_queries[:queries]}
    judgments = tuple(one for one in collection.judgments if one.query_id in kept)
    return replace(collection, queries=kept, judgments=judgments, candidates=())


def subject_of(context: Context) -> Subject:
    """Return what a report says of the pair and its collection."""
    models = {
        side: model_from_facts(model_facts(one, dict(context.encoded(one).self_tests)))
        for side, one in context.models.items()
    }
    collection = collection_from_facts(collection_facts(context.collection, context.negatives()))
    settings = context.settings
    return Subject("erasure", models, (collection,), settings.protocol, settings.measures, settings.statistics)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before")
    parser.add_argument("--after")
    parser.add_argument("--data")
    parser.add_argument("--pooling")
    parser.add_argument("--queries", type=int, default=0, help="first judged queries that are kept; 0: all")
    parser.add_argument("--measure", default="RR@10")
    parser.add_argument("--ranks", type=int, nargs="*")
    parser.add_argument("--layers", type=int, nargs="*")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the analysis's settings")
    return parser.parse_args()


if __name__ == "__main__":
    main()
