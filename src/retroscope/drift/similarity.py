"""Similarity of two models' representations of the same texts: CKA and Procrustes. Equal representations have 1.

Rows are texts, the same ones in both models. Columns are dimensions, whose number may differ between the models.
"""

import numpy as np
from jaxtyping import Float

from retroscope.errors import AnalysisError
from retroscope.representations.vectors import Vectors

SHUFFLES = 3  # pairings at random: of 1,000 texts they differ by less than .01
FEWEST = 4  # texts, below which the unbiased estimate does not exist


def hsic(x: Vectors, y: Float[np.ndarray, "text other"]) -> float:
    """Return the unbiased estimate of the Hilbert-Schmidt independence criterion of two linear kernels.

    It is eq. 5 of Song et al. (2012), JMLR 13, rewritten so that no text-by-text matrix is needed. The cost is texts x
    dim x dim. The value is exact, unlike the mini-batch estimate of Nguyen et al. (2021).

    Raises:
        AnalysisError: if there are fewer than four texts, or `x` and `y` have different numbers of texts.
    """
    n = len(x)
    if n < FEWEST or len(y) != n:
        raise AnalysisError(
            f"vectors of {n} texts and of {len(y)} texts cannot be compared",
            where="CKA",
            fix=f"give two sets of vectors of the same texts, and at least {FEWEST} texts",
        )
    # the estimate does not change with a shift; without one, large means would cancel digits
    x, y = (v.astype(np.float64) - v.mean(axis=0, dtype=np.float64) for v in (x, y))
    a, b = np.square(x).sum(axis=1), np.square(y).sum(axis=1)
    rows_x, rows_y = x @ x.sum(axis=0) - a, y @ y.sum(axis=0) - b
    trace = np.square(x.T @ y).sum() - a @ b
    means = rows_x.sum() * rows_y.sum() / ((n - 1) * (n - 2))
    return float((trace + means - 2 / (n - 2) * (rows_x @ rows_y)) / (n * (n - 3)))


def cka(x: Vectors, y: Float[np.ndarray, "text other"]) -> float:
    """Return the linear centred kernel alignment (CKA) by unbiased estimates.

    Sources: Kornblith et al. 2019; Nguyen et al. 2021.

    It is 1 for representations that are equal up to rotation, shift and scale, and about 0 for unrelated ones. This
    holds for any number of dimensions, whereas the biased estimate is near 1 if there are more dimensions than texts.
    It is NaN if all texts have the same vector in `x` or in `y`.
    """
    own = hsic(x, x) * hsic(y, y)
    return hsic(x, y) / float(np.sqrt(own)) if own > 0 else float("nan")


def procrustes(x: Vectors, y: Float[np.ndarray, "text other"]) -> float:
    """Return the Procrustes similarity 1 - |X - Y Q|^2 / 2. X and Y are centred, with norm 1. Q is the best rotation.

    This similarity equals the sum of the singular values of X^T Y. It also equals 1 minus the Procrustes distance, if
    the distance is scaled to 0..1 (Ding et al. 2021, arXiv 2108.01661). CKA weights each direction by its squared
    variance, so one large direction or a few texts may determine it (Davari et al. 2023, arXiv 2210.16156). Procrustes
    similarity weights a direction by its standard deviation. The similarity is 1 for representations that are equal up
    to rotation, shift and scale. For unrelated representations, the similarity is above 0, and higher with fewer texts,
    so compare it with `procrustes_chance`. It is NaN if all texts have the same vector in `x` or in `y`.
    """
    scaled_x, scaled_y = (_of_size_one(v) for v in (x, y))
    if scaled_x is None or scaled_y is None:
        return float("nan")
    return float(np.linalg.svd(scaled_x.T @ scaled_y, compute_uv=False).sum())


def _of_size_one(x: Vectors) -> Float[np.ndarray, "text least"] | None:
    """Centre vectors and scale them to Frobenius norm 1. Return None if all texts have the same vector.

    If there are more dimensions than texts, the vectors are rotated into as many dimensions as there are texts.
    """
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    size = np.linalg.norm(centred)
    if not size > 0:
        return None
    if x.shape[1] > len(x):
        centred = np.asarray(np.linalg.qr(centred.T, mode="r")).T
    return np.asarray(centred / size)


def procrustes_chance(x: Vectors, y: Float[np.ndarray, "text other"], seed: int = 0) -> float:
    """Return the chance level of Procrustes similarity: its mean over `SHUFFLES` random pairings of the texts."""
    rng = np.random.default_rng(seed)
    return float(np.mean([procrustes(x, y[rng.permutation(len(y))]) for _ in range(SHUFFLES)]))


def u_centred(x: Vectors) -> Float[np.ndarray, "text text"]:
    """Return the U-centred linear kernel of all pairs of texts (Szekely and Rizzo 2014, eq. 3.1).

    The inner product of two such kernels is n (n - 3) times `hsic`. This is faster than `hsic` for many pairs of layers
    with few texts.
    """
    n = len(x)
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    kernel = centred @ centred.T
    np.fill_diagonal(kernel, 0)
    rows = kernel.sum(axis=1)
    u_kernel = kernel - (rows[:, None] + rows[None, :]) / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(u_kernel, 0)
    return np.asarray(u_kernel)
