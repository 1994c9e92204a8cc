"""Find intruder dimensions: large singular vectors after fine-tuning that resemble none before it.

Shuttleworth et al. (2024), arXiv 2410.21228, algorithm 1: an intruder dimension is one of the `TOP` largest left
singular vectors after fine-tuning whose absolute cosine with every left singular vector before fine-tuning is below
`COSINE`. The paper found intruder dimensions in matrices tuned with LoRA, and none in fully tuned matrices. Full
matrices are compared for both kinds of training. `TOP` and `COSINE` are the paper's own values.
"""

import zlib
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy import linalg
from torch import Tensor

TOP = 10
COSINE = 0.5
ZERO = 1e-7  # of the largest singular value: what is below is rounding of the squares


@dataclass(frozen=True)
class Intruders:
    """Numbers of intruder dimensions of one matrix, after fine-tuning and after a random change.

    Attributes:
        intruders: number of singular vectors after that resemble no singular vector before.
        intruders_random: this number after a Gaussian change of the same size: the control.
        examined: number of the largest singular vectors after that were examined.
        below: absolute cosine with every vector before, below which a vector counts.
    """

    intruders: int
    intruders_random: int
    examined: int
    below: float


def intruders(before: Float[Tensor, "out in"], change: Float[Tensor, "out in"], name: str) -> Intruders:
    """Count the intruder dimensions that a change of a matrix brings, and those of a random change of equal size.

    Args:
        before: the matrix, one row for each output.
        change: the matrix that was added to it.
        name: name of the tensor, which seeds the random change.
    """
    w, d = before.double(), change.double()
    known = _vectors(w, min(w.shape))
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    noise = torch.randn(d.shape, generator=generator, dtype=torch.float64)
    noise *= d.norm() / noise.norm()
    examined = min(TOP, *w.shape)
    own, random = (int((_nearest(known, _vectors(w + added, examined)) < COSINE).sum()) for added in (d, noise))
    return Intruders(own, random, examined, COSINE)


def _nearest(known: Float[Tensor, "out vector"], others: Float[Tensor, "out other"]) -> Float[Tensor, "other"]:
    """Return the largest absolute cosine of each vector with any known vector, or 0 if none is known."""
    return (others.T @ known).abs().amax(dim=1) if known.shape[1] else torch.zeros(others.shape[1])


def _vectors(matrix: Float[Tensor, "out in"], count: int) -> Float[Tensor, "out vector"]:
    """Return the `count` left singular vectors with the largest singular values; directions of size 0 are left out.

    Vectors of size 0 are an arbitrary basis, which a new direction may resemble by chance.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    gram = matrix @ matrix.T if wide else matrix.T @ matrix
    n = len(gram)
    squares, vectors = (
        torch.from_numpy(part) for part in linalg.eigh(gram.numpy(), subset_by_index=[n - count, n - 1])
    )
    size = squares.clamp(min=0).sqrt()
    kept = size > ZERO * size.max()
    return vectors[:, kept] if wide else (matrix @ vectors[:, kept]) / size[kept]
