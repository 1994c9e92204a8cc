"""Measure the shape of one model's embedding space: anisotropy, uniformity, alignment, whitening."""

import numpy as np
from jaxtyping import Float

from retroscope.drift.pairs import unit
from retroscope.errors import AnalysisError
from retroscope.representations.vectors import Vectors

EVENNESS = 2.0  # t of uniformity
PAIRS_AT_ONCE = 2048  # texts whose distances to all others are held
MOST_WHITENED = 2**28  # numbers of the passages' vectors, of which whitening holds a few copies


def anisotropy(x: Vectors) -> float:
    """Return the mean cosine of two different texts (Ethayarajh 2019).

    It is 0 if the directions of the vectors are evenly distributed, and 1 if all vectors have one direction. The mean
    is over all pairs.
    """
    n = len(x)
    total = np.square(unit(x).sum(axis=0)).sum()
    return float((total - n) / (n * (n - 1)))


def uniformity(x: Vectors) -> float:
    """Return the log of the mean of exp(-2 |u - v|^2) over pairs of different texts, with u and v of length 1.

    Wang and Isola (2020), eq. 3. It is 0 if all vectors are equal, and lower if they are spread more evenly over the
    sphere (about -4 in many dimensions).
    """
    u, total, n = unit(x), 0.0, len(x)
    for start in range(0, n, PAIRS_AT_ONCE):
        part = u[start : start + PAIRS_AT_ONCE]
        total += float(np.exp(-EVENNESS * np.maximum(0, 2 - 2 * (part @ u.T))).sum())
    return float(np.log((total - n) / (n * (n - 1))))


def alignment(query: Vectors, passage: Vectors) -> float:
    """Return the mean |u - v|^2 over pairs of a query u and its relevant passage v, both scaled to length 1.

    Wang and Isola (2020), eq. 2. It is 0 if each query has the direction of its passage.
    """
    if len(query) != len(passage):
        raise AnalysisError(
            f"{len(query)} queries and {len(passage)} passages cannot be paired",
            where="alignment",
            fix="give one relevant passage for each query",
        )
    return float(np.square(unit(query) - unit(passage)).sum(axis=1).mean())


def whitening(x: Vectors, share: float = 1e-6) -> tuple[Float[np.ndarray, "dim"], Float[np.ndarray, "dim dim"]]:
    """Return the mean and the matrix that whiten vectors: (x - mean) @ matrix has the identity as covariance.

    Su et al. (2021), arXiv 2103.15316. Both are computed without queries or judgments, so a gain of retrieval by
    whitening is due to geometry alone.

    Args:
        x: the vectors (of passages) whose covariance becomes the identity.
        share: directions whose variance is below this share of the largest variance are treated as noise and removed.
    """
    mean = x.mean(axis=0, dtype=np.float64)
    variance, directions = np.linalg.eigh(np.atleast_2d(np.cov(x - mean, rowvar=False, dtype=np.float64)))
    varying = variance > share * variance.max()
    scale = np.zeros_like(variance)
    scale[varying] = variance[varying] ** -0.5
    return mean, directions * scale


def can_be_whitened(passages: int, dim: int) -> bool:
    """Return whether memory suffices to whiten the vectors of so many passages, with `dim` dimensions each."""
    return passages * dim <= MOST_WHITENED


def whitened_pair(queries: Vectors, passages: Vectors) -> tuple[Vectors, Vectors]:
    """Return queries and passages, both whitened by the passages' mean and covariance."""
    mean, matrix = whitening(passages)
    return (queries - mean) @ matrix, (passages - mean) @ matrix
