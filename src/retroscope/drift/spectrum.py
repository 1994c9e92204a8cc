"""Spectrum of a weight change: the number of its directions, and the size of the original matrix in them.

The change D of a matrix W = W_before, with singular values s_1 >= s_2 ...:

- stable rank: |D|_F^2 / s_1^2 (Rudelson and Vershynin 2007);
- effective rank: exp of the entropy of s / sum(s) (Roy and Vetterli 2007);
- amplification: |U^T D V|_F / |U^T W V|_F, U and V the first r singular directions of D: how large the change is there,
  beside what was there. Hu et al. (2021, arXiv 2106.09685, section 7.3) have the whole |D|_F above, which is the same
  where D has rank r (LoRA); where its rank is higher their factor falls as 1 / r whatever the change does;
- its control, were U and V random directions: |U^T D V|_F / (r |W|_F / sqrt(m n)). Both fall with r, since the first
  directions are the largest;
- alignment: the control over the amplification, |U^T W V|_F sqrt(m n) / (r |W|_F), which does not fall with r. 1: W is
  no larger there than anywhere; above: the change follows W.

The right directions of a LoRA update are those of its factor A, which begins random and moves little: its alignment
begins at 1.
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
    """Statistics of one matrix's change: ranks, amplification and alignment.

    Attributes:
        random_rank: effective rank of a Gaussian matrix of the same shape, i.e. of a change without structure.
        held: share of |D|^2 in the first r directions.
        amplification: |U^T D V| / |U^T W V|.
        amplification_random: the amplification to expect if W had no preference for these directions.
        directions: number r of directions of `held`, of both amplifications and of `alignment`.
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
    """Singular values of a change, largest first, and its first few singular vectors, in float64."""

    values: Float[Tensor, "rank"]
    left: Float[Tensor, "row r"]
    right: Float[Tensor, "column r"]


def spectrum(before: Float[Tensor, "row column"], change: Directions) -> Spectrum:
    """Compute the statistics of a change of the matrix `before` from the singular directions of the change."""
    s = change.values
    total, p = float(s.square().sum()), s / s.sum()
    p = p[p > 0]
    r = change.left.shape[1]
    here = math.sqrt(float(s[:r].square().sum()))
    there = float((change.left.T @ before.double() @ change.right).norm())
    even = r * float(before.double().norm()) / math.sqrt(before.numel())
    return Spectrum(
        stable_rank=total / float(s[0].square()),
        effective_rank=math.exp(-float((p * p.log()).sum())),
        random_rank=gaussian_rank(*before.shape),
        held=here**2 / total,
        amplification=here / there if there else math.inf,
        amplification_random=here / even if even else math.inf,
        alignment=there / even if even else math.nan,
        directions=r,
    )


def dense_directions(change: Float[Tensor, "row column"], r: int) -> Directions:
    """Compute the directions of a change by the smaller Gram matrix, in float64, to 1e-8 of the largest value."""
    wide = change.shape[0] <= change.shape[1]
    d = (change if wide else change.T).double()
    values, vectors = torch.linalg.eigh(d @ d.T)
    s = values.flip(0).clamp(min=0).sqrt()
    kept = min(r, int((s > 1e-7 * s[0]).sum()))
    one = vectors.flip(1)[:, :kept]
    other = (d.T @ one) / s[:kept]
    return Directions(s, one, other) if wide else Directions(s, other, one)


def low_rank_directions(change: LowRank, r: int) -> Directions:
    """Compute the singular directions of an adapter's change from its low-rank factors."""
    q_left, r_left = torch.linalg.qr(change.left.double())
    q_right, r_right = torch.linalg.qr(change.right.double().T)
    u, s, vt = torch.linalg.svd(r_left @ r_right.T)
    kept = min(r, int((s > 1e-12 * s[0]).sum()))
    return Directions(s, (q_left @ u)[:, :kept], (q_right @ vt.T)[:, :kept])


@lru_cache(maxsize=256)
def gaussian_rank(rows: int, columns: int) -> float:
    """Return the effective rank of a Gaussian matrix of this shape, by the Marchenko-Pastur law (1967).

    It is the limit for large matrices.
    """
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
