"""A linear head on frozen vectors, which shows how well a learned linear map of the query vectors can retrieve.

The linear head A maps the vector of a query towards the mean vector of its relevant passages. The vectors of passages
do not change:

    A = argmin sum_i |A q_i - p_i|^2 + penalty |A - I|^2,  all vectors of unit length,

This is ridge regression that shrinks to the identity: with an infinite penalty, the vectors stay as they are. Passages
are ranked by the bilinear form q A' p. Two linear heads, one for each tower, would also give a bilinear form. The
solution has a closed form. If passages are whitened, the part of a contrastive loss that pushes passages apart is
nearly constant. Least squares are 15 times as fast as a full softmax over all passages, and neither was better in all
cases (docs/methods/baselines.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

PENALTIES = (np.inf, 3.0, 1.0, 0.3, 0.1)  # in units of the mean eigenvalue of the queries' Gram matrix

Matrix = Float[np.ndarray, "text dim"]
RelevantRows = Sequence[Int[np.ndarray, "n"]]  # for every query, the indices of its relevant passages


@dataclass(frozen=True, eq=False)
class Space:
    """Unit-length vectors of the queries and passages of a collection, raw or whitened, with the relevant passages.

    Attributes:
        queries: vector of each judged query.
        passages: vector of each passage.
        relevant: for every query, the indices of its relevant passages.
    """

    queries: Matrix
    passages: Matrix
    relevant: RelevantRows

    def targets(self, rows: Int[np.ndarray, "n"]) -> Matrix:
        """Return, for each query, the mean vector of its relevant passages.

        Args:
            rows: indices of the queries.
        """
        return np.stack([self.passages[self.relevant[i]].mean(axis=0) for i in rows])


@dataclass(frozen=True, eq=False)
class FoldHead:
    """The linear map of one fold's query vectors (linear head), trained and selected on the other folds.

    Attributes:
        fold: index of the fold whose queries it maps.
        space: name of the vectors that it maps, e.g. raw or whitened ones.
        penalty: the selected penalty; infinite if no map was better than the identity.
        queries: mapped vectors of the fold's queries.
        rows: indices of these queries.
    """

    fold: int
    space: str
    penalty: float
    queries: Matrix
    rows: Int[np.ndarray, "n"]


def cross_fitted(
    spaces: dict[str, Space], folds: Int[np.ndarray, "query"], penalties: Sequence[float] = PENALTIES
) -> list[FoldHead]:
    """Fit a linear map of query vectors for every fold, without the fold's own queries and their relevant passages.

    The next fold selects the vectors (raw or whitened) and the penalty, and the remaining folds train. The criterion is
    the reciprocal rank of the first relevant passage of a query, among the relevant passages of all queries of the
    selecting fold. Of equally good penalties, the largest is selected.

    Args:
        spaces: name -> vectors. The vectors of the first name are used unless others are better.
        folds: index of the fold of every query. No two folds share a relevant passage.
        penalties: the penalties to select from, the largest first.
    """
    n = int(folds.max()) + 1
    return [_head(spaces, folds, fold, (fold + 1) % n, penalties) for fold in range(n)]


def _head(
    spaces: dict[str, Space], folds: Int[np.ndarray, "query"], fold: int, dev: int, penalties: Sequence[float]
) -> FoldHead:
    train, selecting = training_rows(folds, fold, dev)
    best, head = -1.0, None
    for name, space in spaces.items():
        pool = np.unique(np.concatenate([space.relevant[i] for i in selecting]))
        target = _is_relevant([space.relevant[i] for i in selecting], pool)
        for penalty, shift in zip(penalties, _shifts(space, train, penalties), strict=True):
            reciprocal_rank = _reciprocal_rank(space.queries[selecting], shift, space.passages[pool], target)
            if reciprocal_rank > best:
                best, head = reciprocal_rank, (name, penalty, shift)
    name, penalty, shift = head if head is not None else (next(iter(spaces)), np.inf, None)
    rows = np.flatnonzero(folds == fold)
    return FoldHead(fold, name, float(penalty), _mapped(spaces[name].queries[rows], shift), rows)


def training_rows(
    folds: Int[np.ndarray, "query"], fold: int, dev: int
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """Return the indices of the queries that train a fold's head, and of those that select its vectors and penalty.

    Args:
        fold: index of the fold that the head is for.
        dev: index of the fold that selects.
    """
    return np.flatnonzero((folds != fold) & (folds != dev)), np.flatnonzero(folds == dev)


def _shifts(space: Space, train: Int[np.ndarray, "n"], penalties: Sequence[float]) -> list[Matrix | None]:
    """Return (A - I)' of the linear head A for every ridge penalty; None for an infinite penalty, where A = I.

    One eigendecomposition serves all penalties.

    With fewer queries than dimensions, the matrix of the queries' dot products is decomposed, because it is smaller:
    (Q'Q + penalty I)^-1 Q' = Q' (QQ' + penalty I)^-1.
    """
    queries, change = space.queries[train], space.targets(train) - space.queries[train]
    few = len(queries) < queries.shape[1]
    values, vectors = np.linalg.eigh(queries @ queries.T if few else queries.T @ queries)
    left, right = (queries.T @ vectors, vectors.T @ change) if few else (vectors, vectors.T @ (queries.T @ change))
    unit = max(float(values.sum()) / queries.shape[1], np.finfo(np.float64).tiny)
    return [None if np.isinf(p) else left @ (right / (np.maximum(values, 0) + p * unit)[:, None]) for p in penalties]


def _mapped(queries: Matrix, shift: Matrix | None) -> Matrix:
    return queries if shift is None else queries + queries @ shift


def _reciprocal_rank(
    queries: Matrix, shift: Matrix | None, pool: Matrix, target: Bool[np.ndarray, "query passage"]
) -> float:
    """Return the mean reciprocal rank of each query's first relevant passage, which comes last in a tie.

    Args:
        shift: (A - I)' of the linear head; None: A = I.
        pool: vectors of the passages to rank.
        target: mask of the relevant passages of each query in the pool.
    """
    scores = _mapped(queries, shift) @ pool.T
    first = np.where(target, scores, -np.inf).max(axis=1, keepdims=True)
    ahead = ((scores >= first) & ~target).sum(axis=1)
    return float((1 / (1 + ahead)).mean())


def _is_relevant(relevant: RelevantRows, pool: Int[np.ndarray, "passage"]) -> Bool[np.ndarray, "query passage"]:
    is_relevant = np.zeros((len(relevant), len(pool)), dtype=bool)
    for row, passages in enumerate(relevant):
        is_relevant[row, np.searchsorted(pool, passages)] = True
    return is_relevant


def unit_rows(vectors: Matrix) -> Matrix:
    """Scale every row to unit length, in float64. A row of zeros stays zero."""
    exact = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return exact / np.where(lengths > 0, lengths, 1)
