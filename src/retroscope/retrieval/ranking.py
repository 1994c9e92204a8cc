"""Rankings as matrices of integer keys: one key for each retrieved passage (hit), where a greater key is a better hit.

The upper half of the bits of a key is the score, the lower half the rank of the passage id. Sorting keys therefore
sorts hits by score, and hits of equal score by id. To merge the rankings of two blocks of passages, the keys of both
are sorted together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

Keys = Int[np.ndarray, "query k"]  # each row ascending: the best hit is the last

NO_HIT = np.iinfo(np.int64).min
HALF = 32  # bits of the rank of an id
LOW = 2**HALF - 1
MAGNITUDE = 2**31 - 1  # the bits of a float32 without its sign


@dataclass(frozen=True, eq=False)
class RankedPassages:
    """The best passages of each query with their scores, best first.

    Attributes:
        rows: index of each ranked passage. There are k of them, or all passages if there are fewer.
        scores: float32 similarity of each ranked passage.
    """

    rows: Int[np.ndarray, "query k"]
    scores: Float[np.ndarray, "query k"]


def id_order(ids: Sequence[str]) -> Int[np.ndarray, "passage"]:
    """Return the rank of every id if ids are sorted in descending order: 0 for the greatest id."""
    descending = sorted(range(len(ids)), key=ids.__getitem__, reverse=True)
    order = np.empty(len(ids), dtype=np.int64)
    order[descending] = np.arange(len(ids))
    return order


def no_hits(queries: int) -> Keys:
    """Return rankings without hits for this number of queries, as keys of shape (queries, 0)."""
    return np.empty((queries, 0), dtype=np.int64)


def keys_of(scores: Float[np.ndarray, "*shape"], places: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
    """Return the sort key of each hit: its float32 score in the upper bits, the rank of its id in the lower bits.

    The bits of a positive float32, read as an integer, sort as the number does. For a negative number, all bits but the
    sign are flipped. -0.0 counts as 0.0.

    Args:
        scores: float32 scores of the hits.
        places: rank of the id of each hit (see `id_order`).
    """
    bits = (scores + np.float32(0)).view(np.int32).astype(np.int64)
    return np.asarray((_flipped(bits) << HALF) | (LOW - places))


def key_scores(keys: Int[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return the float32 score of each key."""
    return np.asarray(_flipped(keys >> HALF).astype(np.int32).view(np.float32))


def _flipped(bits: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
    return np.where(bits < 0, bits ^ MAGNITUDE, bits)


def merged_keys(best: Keys, other: Keys, k: int) -> Keys:
    """Merge two rankings and keep the k best hits of each query."""
    return np.sort(np.concatenate([best, other], axis=1), axis=1)[:, -k:]


def least_scores(best: Keys, k: int) -> Float[np.ndarray, "query"]:
    """Return the score of each query's k-th best hit, or minus infinity if there are fewer than k hits."""
    if best.shape[1] < k:
        return np.full(len(best), -np.inf, dtype=np.float32)
    return key_scores(np.ascontiguousarray(best[:, -k]))


def ranked_passages(best: Keys, order: Int[np.ndarray, "passage"]) -> RankedPassages:
    """Convert keys to the indices and scores of the ranked passages, best first.

    Args:
        best: keys of the hits of each query.
        order: rank of the id of every passage (see `id_order`).
    """
    keys = np.ascontiguousarray(best[:, ::-1])
    row_at = np.empty(len(order), dtype=np.int64)
    row_at[order] = np.arange(len(order))
    return RankedPassages(row_at[LOW - (keys & LOW)], key_scores(keys))
