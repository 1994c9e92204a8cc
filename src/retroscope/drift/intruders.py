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
    """How many intruder dimensions (singular vectors unlike all before) a matrix has after fine-tuning.

    Attributes:
        intruders: how many of the examined singular vectors after fine-tuning resemble no singular vector before it.
        intruders_random: the control: the same number after a Gaussian change with the norm of the real change.
        examined: how many singular vectors are examined, those with the largest singular values.
        below: a singular vector is an intruder if its absolute cosine with every vector before is below this.
    """

    intruders: int
    intruders_random: int
    examined: int
    below: float


def intruders(before: Float[Tensor, "out in"], change: Float[Tensor, "out in"], name: str) -> Intruders:
    """Count a changed matrix's intruder dimensions: large singular vectors that resemble none before the change.

    As a control, they are also counted after a random change of equal norm.

    Args:
        before: the matrix before fine-tuning, one row for each output.
        change: the matrix after fine-tuning minus `before`.
        name: name of the tensor. It is the seed of the random change.
    """
    w, d = before.double(), change.double()
    directions_before = _vectors(w, min(w.shape))
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    noise = torch.randn(d.shape, generator=generator, dtype=torch.float64)
    noise *= d.norm() / noise.norm()
    examined = min(TOP, *w.shape)
    own, random = (
        int((_nearest(directions_before, _vectors(w + added, examined)) < COSINE).sum()) for added in (d, noise)
    )
    return Intruders(own, random, examined, COSINE)


def _nearest(before: Float[Tensor, "out vector"], after: Float[Tensor, "out other"]) -> Float[Tensor, "other"]:
    """Return the largest absolute cosine of each vector in `after` with any in `before`, or 0 if `before` is empty."""
    return (after.T @ before).abs().amax(dim=1) if before.shape[1] else torch.zeros(after.shape[1])


def _vectors(matrix: Float[Tensor, "out in"], count: int) -> Float[Tensor, "out vector"]:
    """Return the `count` left singular vectors with the largest singular values.

    Vectors with the singular value 0 are left out. They are arbitrary, so a new direction may resemble them by chance.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    gram = matrix @ matrix.T if wide else matrix.T @ matrix
    n = len(gram)
    squares, vectors = (
        torch.from_numpy(part) for part in linalg.eigh(gram.numpy(), subset_by_index=[n - count, n - 1])
    )
    size = squares.clamp(min=0).sqrt()
    nonzero = size > ZERO * size.max()
    return vectors[:, nonzero] if wide else (matrix @ vectors[:, nonzero]) / size[nonzero]
