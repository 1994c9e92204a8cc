"""Repeated queries and cut-offs beyond the corpus on a real collection.

    python benchmarks/audit/repeats.py --model MODEL --data beir:FOLDER --cache FOLDER [--measure RR@10]

Prints how many queries repeat a text, the half width of the measure's interval with every query independent, by texts,
and by texts that share relevant passages, and what retrieval warns of. The similarity's accuracy at N=5 stands
beside chance (.200), with how many of BM25's negatives hold an answer or are relevant to a query of the same text.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from retroscope.collection.loading import load_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.encoders.loading import load_retriever
from retroscope.probing.grid import probe
from retroscope.probing.settings import ProbeSettings
from retroscope.representations.represent import represent
from retroscope.retrieval.retrieve import retrieve
from retroscope.scores import TEXT, Scores
from retroscope.statistics import IntervalSettings, summarise


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--measure", default="RR@10")
    parser.add_argument("--pooling")
    args = parser.parse_args()
    data = load_collection(args.data)
    retriever = load_retriever(args.model, **({"pooling": args.pooling} if args.pooling else {}))
    vectors = represent(retriever, data, args.cache)
    ranked = retrieve(vectors, data, (args.measure, "R@100"))
    one = replace(ranked.scores, values=ranked.scores.values.sel(measure=[args.measure]))
    by_text = replace(one, passages={})
    apart = replace(by_text, values=one.values.drop_vars(TEXT))
    judged = data.judged_queries
    texts = len({data.query_texts[query] for query in judged})
    print(f"{len(judged)} judged queries, {texts} distinct texts, {len(data.passages)} passages")
    print(f"{args.measure}: half width of the 95 % interval, independent (before) {half(apart):.4f}, by texts "
          f"{half(by_text):.4f}, with shared passages (after) {half(one):.4f}")  # fmt: skip
    print(f"R@100 {float(ranked.scores.select(measure='R@100').mean()):.4f}; warnings: {list(ranked.scores.warnings)}")
    mined = hard_negatives(data, 100)
    settings = ProbeSettings(
        probes=(retriever.similarity,), controls=("none",), passages=(5,), layers=(vectors.passage.n_layers - 1,)
    )
    read = probe(vectors, mined.candidates, settings, texts=data.query_texts)
    print(f"similarity, N=5: {float(read.scores.mean().squeeze()):.3f}; left out of the negatives: {mined.left_out}")


def half(scores: Scores) -> float:
    """Half the width of the mean's interval."""
    table = summarise(scores, IntervalSettings())
    return float((table["ci_high"] - table["ci_low"]).squeeze()) / 2


if __name__ == "__main__":
    main()
