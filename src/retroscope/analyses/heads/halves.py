"""Split queries into two halves without shared texts: one chooses the top heads, the other tests them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from retroscope.collection.collection import Collection
from retroscope.collection.records import folded

FEWEST_GROUPS = 4  # of queries that share nothing, two for each half


def choosing_half(collection: Collection, queries: Sequence[str]) -> Bool[np.ndarray, "query"]:
    """Return true for the queries that choose the top heads, and false for those that test them.

    Queries with shared texts or passages form a group, which stays in one half. Groups are assigned, the largest first,
    to the half with fewer queries.
    """
    groups = sharing_groups(collection, queries)
    places: dict[int, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    choosing, sizes = np.zeros(len(queries), dtype=bool), [0, 0]
    for some in sorted(places.values(), key=len, reverse=True):
        half = int(sizes[0] > sizes[1])
        choosing[some] = half == 0
        sizes[half] += len(some)
    return choosing


def sharing_groups(collection: Collection, queries: Sequence[str]) -> list[int]:
    """Return the index of every query's group. Queries linked by shared texts or relevant passages form a group."""
    numbers: dict[tuple[str, str], int] = {}
    shared = [(place, numbers.setdefault(key, len(numbers)))
              for place, query in enumerate(queries) for key in _keys(collection, query)]  # fmt: skip
    size = len(queries) + len(numbers)
    ends = np.array(shared, dtype=np.int64).reshape(-1, 2) + np.array([0, len(queries)])
    graph = sparse.coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    labels: list[int] = connected_components(graph, directed=False)[1][: len(queries)].tolist()
    return labels


def without_shared(collection: Collection, queries: Sequence[str], choosing: Sequence[str]) -> list[str]:
    """Return the queries that share no text and no relevant passage with a query of `choosing`."""
    taken = {key for query in choosing for key in _keys(collection, query)}
    return [query for query in queries if not taken.intersection(_keys(collection, query))]


def without_run(collection: Collection, queries: Sequence[str], passages: Sequence[str]) -> list[str]:
    """Return the queries without a relevant passage that has the text of one of `passages`."""
    run = {("passage", folded(collection.passage_text(p))) for p in passages}
    return [query for query in queries if not run.intersection(_keys(collection, query))]


def _keys(collection: Collection, query: str) -> list[tuple[str, str]]:
    passages = [("passage", folded(collection.passage_text(p))) for p in collection.relevant[query]]
    return [("query", folded(collection.queries[query].text)), *passages]
