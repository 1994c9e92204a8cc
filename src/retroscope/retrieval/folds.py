"""Divide queries into folds for cross-validation, so that no text or relevant passage is in two folds.

Two queries are linked if they have the same text, or if relevant passages of theirs have the same text. Linked queries
stay in one fold.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from retroscope.collection.collection import Collection
from retroscope.collection.records import folded
from retroscope.errors import AnalysisError

LARGEST = 2.0  # a fold may hold this many times its even share of queries

Folds = Int[np.ndarray, "query"]


def query_folds(collection: Collection, n: int, seed: int) -> Folds:
    """Return the index of the fold, 0 to n - 1, of every judged query, in the collection's order.

    Groups of linked queries are shuffled by `seed`. Then each group, the largest first, is assigned to the fold with
    the fewest queries.

    Raises:
        AnalysisError: if a fold stays empty, or has more than twice its even share of the queries.
    """
    group = linked_groups(collection)
    names, sizes = np.unique(group, return_counts=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    filled, fold_of = np.zeros(n, dtype=np.int64), np.empty(len(names), dtype=np.int64)
    for place in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of[place] = filled.argmin()
        filled[fold_of[place]] += sizes[place]
    if filled.min() == 0 or filled.max() > LARGEST * len(group) / n:
        linked = (
            f": {sizes.max()} of them are linked by equal texts or shared relevant passages, and must stay in one fold"
        )
        raise AnalysisError(
            f"{len(group)} judged queries cannot be divided into {n} folds{linked if sizes.max() > 1 else ''}",
            where=collection.name,
            fix="use more queries, or leave the baselines out (--no-baselines)",
        )
    return np.asarray(fold_of[np.searchsorted(names, group)])


def linked_groups(collection: Collection) -> Folds:
    """Return the index of every judged query's group: queries that share a text or a relevant passage are in one group.

    Two queries may also be linked through other queries. Passages with the same text are one passage, because their
    vectors are equal.
    """
    queries = collection.judged_queries
    nodes: dict[tuple[str, str], int] = {}
    rows = [(i, nodes.setdefault(key, len(nodes))) for i, q in enumerate(queries) for key in _keys(collection, q)]
    at, key = np.array(rows).T
    size = len(queries) + len(nodes)
    graph = coo_array((np.ones(len(rows)), (at, len(queries) + key)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][: len(queries)])


def _keys(collection: Collection, query: str) -> Iterator[tuple[str, str]]:
    yield "text", folded_text(collection, query)
    yield from (("passage", folded(collection.passage_text(passage))) for passage in relevant(collection, query))


def folded_text(collection: Collection, query: str) -> str:
    """Return a query's text in the form in which texts are compared: without case and repeated spaces."""
    return folded(collection.queries[query].text)


def relevant(collection: Collection, query: str) -> Sequence[str]:
    """Return the ids of the passages that are judged relevant to a query (grade above 0)."""
    return [passage for passage, grade in collection.qrels[query].items() if grade > 0]
