"""Clusters of dependent queries: queries with the same text, and queries that share passages.

Queries of one text are one observation: whole texts are resampled, flipped and counted (one-way clusters). Passages
are shared across texts, so that no partition of the queries holds them: see `resampling.shared_passages`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy import sparse

from retroscope.scores import QUERY, TEXT, Scores

Cells = Float[np.ndarray, "cell"]
Table = Float[np.ndarray, "query cell"]


@dataclass(frozen=True, eq=False)
class Clusters:
    """The texts and passages that queries share, which define clusters.

    Attributes:
        text: number of the distinct text of each query, 0, 1 ... in the order of their first queries.
        passages: [query, passage], 1 if the score of a query depends on a passage, or None if this is not known.
    """

    text: Int[np.ndarray, "query"]
    passages: "sparse.csr_array | None" = None

    @cached_property
    def n_texts(self) -> int:
        """Return the number of distinct texts."""
        return int(self.text.max(initial=-1)) + 1

    @property
    def repeats(self) -> bool:
        """Return whether several queries share a text."""
        return self.n_texts < len(self.text)

    def sums(self, values: Table) -> Float[np.ndarray, "text cell"]:
        """Sum the values of the queries of each text. NaN counts as 0."""
        filled = np.nan_to_num(values, nan=0.0)
        return np.asarray(self._to_texts @ filled) if self.repeats else filled

    def sizes(self, values: Table) -> Int[np.ndarray, "text cell"]:
        """Count the queries of each text that are measured (not NaN) in each cell."""
        measured = np.isfinite(values)
        return np.asarray(self._to_texts @ measured.astype(np.int64)) if self.repeats else measured.astype(np.int64)

    def only(self, kept: np.ndarray) -> "Clusters":
        """Return the clusters of the queries selected by `kept`."""
        return Clusters(numbered(self.text[kept]))

    @cached_property
    def _to_texts(self) -> "sparse.csr_array":
        n = len(self.text)
        return sparse.csr_array((np.ones(n), (self.text, np.arange(n))), shape=(self.n_texts, n))


def independent(n: int) -> Clusters:
    """Return clusters for `n` independent queries: each query is its own cluster."""
    return Clusters(np.arange(n))


def text_clusters(values: xr.DataArray) -> Clusters:
    """Return the clusters by text of the queries of an array, in the order of its rows."""
    texts = values.coords[TEXT].values if TEXT in values.coords else np.arange(values.sizes[QUERY])
    return Clusters(numbered(np.asarray(texts)))


def clusters_of(scores: Scores) -> Clusters:
    """Return the clusters of these scores' queries, in the order of their ids (as in `cell_values`)."""
    return _clusters(scores, np.argsort(np.array(scores.query_ids, dtype=np.str_), kind="stable"))


def clusters_by_row(scores: Scores) -> Clusters:
    """Return the clusters of these scores' queries, in the order of their rows."""
    return _clusters(scores, np.arange(len(scores.query_ids)))


def _clusters(scores: Scores, order: Int[np.ndarray, "query"]) -> Clusters:
    every = scores.query_ids
    ids = [every[i] for i in order]
    given = scores.texts
    text = np.arange(len(ids)) if given is None else numbered(given[order])
    if not scores.passages:
        return Clusters(text)
    number: dict[str, int] = {}
    pairs = [(row, number.setdefault(p, len(number))) for row, i in enumerate(ids) for p in scores.passages.get(i, ())]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    incidence = sparse.csr_array((np.ones(len(pairs)), (rows, columns)), shape=(len(ids), len(number)))
    return Clusters(text, incidence)


def numbered(labels: np.ndarray) -> Int[np.ndarray, "query"]:
    """Return labels as numbers 0, 1 ... in the order of first occurrence."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return np.asarray(rank[inverse.ravel()])
