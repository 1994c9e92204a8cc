"""A linear head on frozen vectors, which shows how well a learned linear map of them can retrieve.

The linear head maps the query's vector towards the vectors of its relevant passages. The vectors of passages do not
change:

    A = argmin sum_i |A q_i - p_i|^2 + penalty |A - I|^2,  all vectors of unit length,

ridge regression that shrinks to the identity, so that an infinite penalty leaves the vectors as they are. The ranking
is that of the bilinear form q A' p, as of any pair of linear heads on the two towers. The solution has a closed form.
Among whitened passages, the part of a contrastive loss that pushes passages apart is nearly constant. Least squares are
15 times as fast as a full softmax over all passages, and neither was better in all cases (docs/methods/baselines.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

PENALTIES = (np.inf, 3.0, 1.0, 0.3, 0.1)  # in units of the mean eigenvalue of the queries' Gram matrix

Matrix = Float[np.ndarray, "text dim"]
RelevantRows = Sequence[Int[np.ndarray, "n"]]  # of every query, the rows of its relevant passages


@dataclass(frozen=True, eq=False)
class Space:
    """Unit-length vectors of one set of queries and passages, raw or whitened, with the relevant passages.

    Attributes:
        queries: one row for each judged query.
        passages: one row a passage.
        relevant: the rows of the relevant passages of every query.
    """

    queries: Matrix
    passages: Matrix
    relevant: RelevantRows

    def targets(self, rows: Int[np.ndarray, "n"]) -> Matrix:
        """Return, for each of these queries, the mean vector of its relevant passages."""
        return np.stack([self.passages[self.relevant[i]].mean(axis=0) for i in rows])


@dataclass(frozen=True, eq=False)
class FoldHead:
    """The linear head for the queries of one fold: trained on other folds, and selected on one of them.

    Attributes:
        fold: the fold whose queries it maps.
        space: name of the view that it starts from.
        penalty: one of `PENALTIES`, infinite if no map was better than the identity.
        queries: the fold's mapped query vectors.
        rows: row numbers of these queries.
    """

    fold: int
    space: str
    penalty: float
    queries: Matrix
    rows: Int[np.ndarray, "n"]


def cross_fitted(
    spaces: dict[str, Space], folds: Int[np.ndarray, "query"], penalties: Sequence[float] = PENALTIES
) -> list[FoldHead]:
    """Fit a head for every fold, without the fold's queries and their relevant passages.

    The next fold selects view and penalty by the reciprocal rank of its queries' relevant passages among one another;
    of equal candidates, the one with the larger penalty. The other folds train.

    Args:
        spaces: the views to start from, by name. The first is used if no other is better.
        folds: the fold of every query. No two folds share a relevant passage.
        penalties: the penalties to select from, the largest first.
    """
    n = int(folds.max()) + 1
    return [_head(spaces, folds, fold, (fold + 1) % n, penalties) for fold in range(n)]


def _head(
    spaces: dict[str, Space], folds: Int[np.ndarray, "query"], fold: int, dev: int, penalties: Sequence[float]
) -> FoldHead:
    train, chooser = training_rows(folds, fold, dev)
    best, head = -1.0, None
    for name, space in spaces.items():
        seen = np.unique(np.concatenate([space.relevant[i] for i in chooser]))
        target = _is_relevant([space.relevant[i] for i in chooser], seen)
        for penalty, shift in zip(penalties, _shifts(space, train, penalties), strict=True):
            reached = _reciprocal_rank(space.queries[chooser], shift, space.passages[seen], target)
            if reached > best:
                best, head = reached, (name, penalty, shift)
    name, penalty, shift = head if head is not None else (next(iter(spaces)), np.inf, None)
    rows = np.flatnonzero(folds == fold)
    return FoldHead(fold, name, float(penalty), _mapped(spaces[name].queries[rows], shift), rows)


def training_rows(
    folds: Int[np.ndarray, "query"], fold: int, dev: int
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """Return the queries that train the head of a fold, and the queries that select it."""
    return np.flatnonzero((folds != fold) & (folds != dev)), np.flatnonzero(folds == dev)


def _shifts(space: Space, train: Int[np.ndarray, "n"], penalties: Sequence[float]) -> list[Matrix | None]:
    """Return (A - I)' for every penalty, from one eigendecomposition, or None for an infinite one.

    With fewer queries than dimensions, the matrix of the queries' dot products is the smaller one to decompose:
    (Q'Q + penalty I)^-1 Q' = Q' (QQ' + penalty I)^-1.
    """
    queries, moved = space.queries[train], space.targets(train) - space.queries[train]
    few = len(queries) < queries.shape[1]
    values, vectors = np.linalg.eigh(queries @ queries.T if few else queries.T @ queries)
    left, right = (queries.T @ vectors, vectors.T @ moved) if few else (vectors, vectors.T @ (queries.T @ moved))
    unit = max(float(values.sum()) / queries.shape[1], np.finfo(np.float64).tiny)
    return [None if np.isinf(p) else left @ (right / (np.maximum(values, 0) + p * unit)[:, None]) for p in penalties]


def _mapped(queries: Matrix, shift: Matrix | None) -> Matrix:
    return queries if shift is None else queries + queries @ shift


def _reciprocal_rank(
    queries: Matrix, shift: Matrix | None, pool: Matrix, target: Bool[np.ndarray, "query passage"]
) -> float:
    """Return the mean reciprocal rank of the first relevant passage. Ties count against it."""
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
    """Scale vectors to unit length, in float64. A zero vector stays zero."""
    exact = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return exact / np.where(lengths > 0, lengths, 1)
