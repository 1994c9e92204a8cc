"""Spectrum of a weight change: how many directions it has, and how large the original matrix is in these directions.

W is the matrix before fine-tuning, with m rows and n columns. D is its change, with singular values s_1 >= s_2 ... and
first r singular directions U and V. The statistics are:

- stable rank: |D|_F^2 / s_1^2 (Rudelson and Vershynin 2007);
- effective rank: exp of the entropy of s / sum(s) (Roy and Vetterli 2007);
- amplification: |U^T D V|_F / |U^T W V|_F, the norm of the change in these directions over the norm of W in them.
  Hu et al. (2021, arXiv 2106.09685, section 7.3) use the whole |D|_F as numerator. For a D of rank r (LoRA), this is
  the same. For a higher rank, their ratio falls as 1 / r for any change;
- random amplification, its control: |U^T D V|_F / (r |W|_F / sqrt(m n)), as if W had an average norm in these
  directions. It falls with r like the amplification, because the first directions are the largest;
- alignment: random amplification over amplification, |U^T W V|_F sqrt(m n) / (r |W|_F). It does not fall with r. It is
  1 if W is as large in these directions as in random ones, and above 1 if it is larger.

The right directions of a LoRA update are those of its factor A. A is random at first and changes little in training, so
the alignment of a LoRA update is 1 at first.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from scipy import integrate
from torch import Tensor

from retroscope.encoders.checkpoints.tensors import LowRank


@dataclass(frozen=True)
class Spectrum:
    """Ranks, amplification and alignment of one matrix's change, as defined at the top of this module.

    Attributes:
        stable_rank, effective_rank: ranks of the change D.
        random_rank: effective rank of a Gaussian matrix of the same shape, i.e. of a change without structure.
        held: share of |D|_F^2 in the first r singular directions.
        amplification: norm of the change over the norm of the original matrix, both in the first r directions.
        amplification_random: the amplification if the original matrix were as large in these directions as in others.
        alignment: `amplification_random` over `amplification`; 1 if change and original matrix are unrelated.
        directions: r, how many singular directions are used for `held`, both amplifications and `alignment`.
    """

    stable_rank: float
    effective_rank: float
    random_rank: float
    held: float
    amplification: float
    amplification_random: float
    alignment: float
    directions: int


@dataclass(frozen=True, eq=False)
class Directions:
    """Singular values of a weight change, the largest first, and its first r singular vectors, in float64."""

    values: Float[Tensor, "rank"]
    left: Float[Tensor, "row r"]
    right: Float[Tensor, "column r"]


def spectrum(before: Float[Tensor, "row column"], change: Directions) -> Spectrum:
    """Compute ranks, amplification and alignment of a weight change from its directions and the original matrix."""
    s = change.values
    total, p = float(s.square().sum()), s / s.sum()
    p = p[p > 0]
    r = change.left.shape[1]
    norm_of_change = math.sqrt(float(s[:r].square().sum()))
    norm_of_original = float((change.left.T @ before.double() @ change.right).norm())
    even = r * float(before.double().norm()) / math.sqrt(before.numel())
    return Spectrum(
        stable_rank=total / float(s[0].square()),
        effective_rank=math.exp(-float((p * p.log()).sum())),
        random_rank=gaussian_rank(*before.shape),
        held=norm_of_change**2 / total,
        amplification=norm_of_change / norm_of_original if norm_of_original else math.inf,
        amplification_random=norm_of_change / even if even else math.inf,
        alignment=norm_of_original / even if even else math.nan,
        directions=r,
    )


def dense_directions(change: Float[Tensor, "row column"], r: int) -> Directions:
    """Compute the singular values of a weight change and its first `r` singular vectors.

    They are computed from the smaller Gram matrix in float64. The error is about 1e-8 of the largest singular value.
    """
    wide = change.shape[0] <= change.shape[1]
    d = (change if wide else change.T).double()
    values, vectors = torch.linalg.eigh(d @ d.T)
    s = values.flip(0).clamp(min=0).sqrt()
    nonzero = min(r, int((s > 1e-7 * s[0]).sum()))
    short_side = vectors.flip(1)[:, :nonzero]
    long_side = (d.T @ short_side) / s[:nonzero]
    return Directions(s, short_side, long_side) if wide else Directions(s, long_side, short_side)


def low_rank_directions(change: LowRank, r: int) -> Directions:
    """Compute the singular values of an adapter's change and its first `r` singular vectors from its two factors."""
    q_left, r_left = torch.linalg.qr(change.left.double())
    q_right, r_right = torch.linalg.qr(change.right.double().T)
    u, s, vt = torch.linalg.svd(r_left @ r_right.T)
    nonzero = min(r, int((s > 1e-12 * s[0]).sum()))
    return Directions(s, (q_left @ u)[:, :nonzero], (q_right @ vt.T)[:, :nonzero])


@lru_cache(maxsize=256)
def gaussian_rank(rows: int, columns: int) -> float:
    """Return the effective rank of a large Gaussian matrix of this shape, by the Marchenko-Pastur law (1967)."""
    small, large = sorted((rows, columns))
    if small < 2:
        return 1.0
    low, high = 1 - math.sqrt(small / large), 1 + math.sqrt(small / large)

    def weight(s: float) -> float:
        """Return the density of a singular value s, up to a constant."""
        return math.sqrt(max((s * s - low * low) * (high * high - s * s), 0.0)) / s if s > 0 else 0.0

    def mean(f: "np.ufunc | None") -> float:
        value = integrate.quad(lambda s: weight(s) * (s if f is None else s * float(f(s))), low, high, limit=200)[0]
        return float(value)

    mass = integrate.quad(weight, low, high, limit=200)[0]
    first, logs = mean(None) / mass, mean(np.log) / mass
    # entropy of s / sum s, over `small` values: log(small E s) - E[s log s] / E s
    return math.exp(math.log(small * first) - logs / first)
