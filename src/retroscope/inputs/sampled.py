"""Draw a sample of a collection, so that repeated searches need not cover the whole corpus.

Queries are drawn first. Every judged passage of a drawn query is in the sample, whatever its grade. The other passages
of the sample compete for these queries: they rank high in the given rankings (by both unmodified models and by BM25).
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypedDict

import numpy as np
from jaxtyping import Int

from retroscope.collection.collection import Collection
from retroscope.collection.records import Passage

ENOUGH = 50  # queries drawn whatever their judged passages take; with fewer there is little to test
# Passages that compete, for each judged passage. Chosen on Natural Questions with MiniLM (benchmarks/pools.py): more of
# them make the interval of an effect, in parts of the effect, at most 5 % narrower.
HARD = 0.5
FEWEST = 200  # passages of a sample, where few queries have few judged ones
STRATA = 25  # of queries by their number of judged passages: of the first `ENOUGH`, two of each
Ranked = Mapping[str, Sequence[str]]  # query id -> passage ids, best first


class SampleRow(TypedDict):
    """Mean of a measure for one unmodified model on a sample and on the whole corpus, over the same queries."""

    model: str
    measure: str
    sample: float
    whole: float
    queries: int


def is_sampled(collection: Collection, passages: int) -> bool:
    """Return whether a corpus has more passages than may be searched (`passages`; 0 means all)."""
    return bool(passages) and len(collection.passages) > passages


def sampled(
    collection: Collection,
    queries: Sequence[str],
    passages: int,
    seed: int,
    rankings: Sequence[Ranked] = (),
    *,
    hard: float = HARD,
) -> Collection:
    """Return the collection with some of the `queries` and a sample of at most `passages` passages.

    If the corpus is no larger than that, it is returned whole, with all these queries. Otherwise, queries are drawn in
    an order that is stratified by their number of judged passages, and none is skipped. The sample has all judged
    passages of the drawn queries and `hard` times as many competing passages: those at rank 1 of every query and
    ranking, then those at rank 2, and so on. Once the rankings are exhausted, other passages are drawn at random.

    The first `ENOUGH` queries are drawn even if their judged passages exceed `passages`. The sample then has, in
    addition, up to `passages` * `hard` / (1 + `hard`) competing passages. If all queries are drawn, the sample may be
    smaller than `passages`, but has at least `FEWEST` passages.

    A larger sample of the same seed and rankings contains a smaller one.

    Args:
        queries: queries that may be drawn.
        passages: largest number of passages in the sample (the first queries may exceed it). 0 means the whole corpus.
        seed: seed of the order of the queries, and of the passages that no ranking contains.
        rankings: rankings of the whole corpus, e.g. one by each model and one by BM25. A ranking may lack some queries.
        hard: number of competing passages for each judged passage.
    """
    if not is_sampled(collection, passages):
        return _narrowed(collection, queries, collection.passages)
    rng = np.random.default_rng(seed)
    order = stratified(queries, [len(collection.qrels[query]) for query in queries], rng)
    drawn = _Sample(collection, rankings, rng)
    for query in order[:ENOUGH]:
        drawn.add(query)
    limit = max(passages, len(drawn.judged) + int(passages * hard / (1 + hard)))
    for query in order[ENOUGH:]:
        new = len({*collection.qrels[query]} - drawn.judged)
        drawn.fill(min(limit, len(drawn.judged) + int(hard * (len(drawn.judged) + new))))
        if len(drawn.passages | {*collection.qrels[query]}) > limit:
            break  # not filled up: a larger sample draws this query next
        drawn.add(query)
    else:
        drawn.fill(min(limit, max(FEWEST, len(drawn.judged) + int(hard * len(drawn.judged)))))
    held = {p: passage for p, passage in collection.passages.items() if p in drawn.passages}
    return _narrowed(collection, [query for query in queries if query in drawn.queries], held)


def stratified(queries: Sequence[str], judged: Sequence[int], rng: np.random.Generator) -> list[str]:
    """Order queries at random, so that the first n, for any n, cover small and large numbers of judged passages evenly.

    They are spread evenly over `STRATA` strata: groups of about equally many queries with similar numbers of judged
    passages. Queries with equal numbers are in the same stratum.
    """
    counts = np.asarray(judged)
    below = np.searchsorted(np.sort(counts), counts, side="left") / max(1, len(counts))
    stratum = np.floor(below * STRATA).astype(int)
    key = np.empty(len(counts))
    for number in np.unique(stratum):
        members = rng.permutation(np.flatnonzero(stratum == number))
        key[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return [queries[at] for at in np.argsort(key, kind="stable")]


class _Sample:
    """A sample while it is drawn: its queries, their judged passages, and all its passages."""

    def __init__(self, collection: Collection, rankings: Sequence[Ranked], rng: np.random.Generator) -> None:
        self.collection = collection
        self.rankings = rankings
        self.queries: set[str] = set()
        self.judged: set[str] = set()
        self.passages: set[str] = set()
        self._turns: list[tuple[int, int, int, str]] = []  # rank, place of the query, of the ranking; and the query
        self._others = self._unranked(rng.permutation(len(collection.passages)))

    def add(self, query: str) -> None:
        place = len(self.queries)
        self.queries.add(query)
        self.judged |= {*self.collection.qrels[query]}
        self.passages |= {*self.collection.qrels[query]}
        for number in range(len(self.rankings)):
            heapq.heappush(self._turns, (0, place, number, query))

    def fill(self, size: int) -> None:
        """Add competing passages for the drawn queries, until the sample has `size` passages or no passage is left."""
        while len(self.passages) < size:
            passage = self._next()
            if passage is None:
                return
            self.passages.add(passage)

    def _next(self) -> str | None:
        """Return the best-ranked passage that is not yet in the sample.

        If the rankings have no such passage, return a random passage, or None if no passage is left.
        """
        while self._turns:
            rank, place, number, query = heapq.heappop(self._turns)
            ranked = self.rankings[number].get(query, ())
            if rank < len(ranked):
                heapq.heappush(self._turns, (rank + 1, place, number, query))
                if ranked[rank] not in self.passages:
                    return ranked[rank]
        return next((passage for passage in self._others if passage not in self.passages), None)

    def _unranked(self, order: Int[np.ndarray, "passage"]) -> Iterator[str]:
        ids = list(self.collection.passages)
        return (ids[at] for at in order)


def _narrowed(collection: Collection, queries: Sequence[str], passages: Mapping[str, Passage]) -> Collection:
    asked = {*queries}
    return replace(
        collection,
        queries={query: collection.queries[query] for query in queries},
        passages=passages,
        judgments=tuple(j for j in collection.judgments if j.query_id in asked and j.passage_id in passages),
        candidates=(),
        rows=(),
    )
