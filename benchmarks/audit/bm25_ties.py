"""Ties of BM25: what moves where the greater id ranks first, as in trec_eval, and no longer the lesser one.

    python benchmarks/audit/bm25_ties.py beir:DATA [beir:DATA ...]      # seconds for a collection

Printed: BM25's measures by both rules, and how many lists of 5, 10 and 50 hard negatives change.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

from retroscope.analyses.baselines.variants import try_bm25
from retroscope.collection import bm25
from retroscope.collection.collection import Collection
from retroscope.collection.loading import load_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.retrieval.measures import DEFAULT_MEASURES

LONGEST = 50


@contextmanager
def lesser_first() -> Iterator[None]:
    """Rank the lesser of two ids first where their scores are equal."""
    by_place = bm25.best_rows
    with patch.object(bm25, "best_rows", lambda scores, place, depth: by_place(scores, -place, depth)):
        yield


def show(collection: Collection) -> None:
    """Print what moves."""
    after, lists = try_bm25(collection, DEFAULT_MEASURES), negatives(collection)
    with lesser_first():
        before, lists_before = try_bm25(collection, DEFAULT_MEASURES), negatives(collection)
    print(
        f"\n| {collection.name}, BM25 | lesser id first | greater id first | queries that change |\n|---|---|---|---|"
    )
    for measure in DEFAULT_MEASURES:
        old, new = (one.select(measure=measure).values.values for one in (before, after))
        print(f"| {measure} | {old.mean():.4f} | {new.mean():.4f} | {(old != new).sum()} of {len(old):,} |")
    print(f"\n| hard negatives of {len(lists):,} pairs | in another order | others |\n|---|---|---|")
    for n in (5, 10, LONGEST):
        pairs = [(old[:n], new[:n]) for old, new in zip(lists_before, lists, strict=True)]
        moved, others = sum(a != b for a, b in pairs), sum(set(a) != set(b) for a, b in pairs)
        print(f"| the first {n} | {moved} | {others} |")


def negatives(collection: Collection) -> Sequence[tuple[str, ...]]:
    """Return the hard negatives of every pair."""
    return [tuple(one.negatives) for one in hard_negatives(collection, LONGEST).candidates]


def main() -> None:
    """Print the tables of every collection."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    for spec in parser.parse_args().data:
        show(load_collection(spec))


if __name__ == "__main__":
    main()
