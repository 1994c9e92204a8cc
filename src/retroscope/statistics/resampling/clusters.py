"""Clusters of dependent queries: queries with the same text, and queries that share passages.

Queries with one text are one observation: the bootstrap resamples texts, a sign flip changes all queries of a text, and
sample sizes count texts (one-way clusters). Passages are shared across texts, so the queries cannot be divided into
groups without common passages: see `resampling.shared_passages`.
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
    """Which queries have the same text, and which passages they share.

    Attributes:
        text: index of the distinct text of each query: 0, 1 ... in order of first occurrence.
        passages: [query, passage], 1 if the score of the query depends on the passage; None if this is not known.
    """

    text: Int[np.ndarray, "query"]
    passages: "sparse.csr_array | None" = None

    @cached_property
    def n_texts(self) -> int:
        """Count the distinct query texts."""
        return int(self.text.max(initial=-1)) + 1

    @property
    def repeats(self) -> bool:
        """Return whether any two queries have the same text."""
        return self.n_texts < len(self.text)

    def sums(self, values: Table) -> Float[np.ndarray, "text cell"]:
        """Sum the values of the queries with the same text, for each text and column. NaN counts as 0."""
        filled = np.nan_to_num(values, nan=0.0)
        return np.asarray(self._to_texts @ filled) if self.repeats else filled

    def sizes(self, values: Table) -> Int[np.ndarray, "text cell"]:
        """Count, for each text and column, the queries with a value (not NaN)."""
        measured = np.isfinite(values)
        return np.asarray(self._to_texts @ measured.astype(np.int64)) if self.repeats else measured.astype(np.int64)

    def only(self, kept: np.ndarray) -> "Clusters":
        """Return the clusters of the queries that `kept` selects, by equal text alone: shared passages are dropped.

        Args:
            kept: a Boolean mask over the queries, or their indices.
        """
        return Clusters(numbered(self.text[kept]))

    @cached_property
    def _to_texts(self) -> "sparse.csr_array":
        n = len(self.text)
        return sparse.csr_array((np.ones(n), (self.text, np.arange(n))), shape=(self.n_texts, n))


def independent(n: int) -> Clusters:
    """Return the clusters of `n` independent queries: each has its own text, and no passages are known."""
    return Clusters(np.arange(n))


def text_clusters(values: xr.DataArray) -> Clusters:
    """Group the queries of an array by equal text (its coordinate `text`), in the order of its rows.

    Without this coordinate, every query has its own text.
    """
    texts = values.coords[TEXT].values if TEXT in values.coords else np.arange(values.sizes[QUERY])
    return Clusters(numbered(np.asarray(texts)))


def clusters_of(scores: Scores) -> Clusters:
    """Return which queries of `scores` share a text or passages, with the queries sorted by id as in `cell_values`."""
    return _clusters(scores, np.argsort(np.array(scores.query_ids, dtype=np.str_), kind="stable"))


def clusters_by_row(scores: Scores) -> Clusters:
    """Return which queries of `scores` share a text or passages, with the queries in the order of the rows."""
    return _clusters(scores, np.arange(len(scores.query_ids)))


def _clusters(scores: Scores, order: Int[np.ndarray, "query"]) -> Clusters:
    ids = [scores.query_ids[i] for i in order]
    texts = scores.texts
    text = np.arange(len(ids)) if texts is None else numbered(texts[order])
    if not scores.passages:
        return Clusters(text)
    number: dict[str, int] = {}
    pairs = [(row, number.setdefault(p, len(number))) for row, i in enumerate(ids) for p in scores.passages.get(i, ())]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    incidence = sparse.csr_array((np.ones(len(pairs)), (rows, columns)), shape=(len(ids), len(number)))
    return Clusters(text, incidence)


def numbered(labels: np.ndarray) -> Int[np.ndarray, "query"]:
    """Replace every distinct label by an index: 0, 1 ... in order of first occurrence."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return np.asarray(rank[inverse.ravel()])
