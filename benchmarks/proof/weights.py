"""Changes of a weight matrix: new directions, and whether a change lies where the matrix was large before."""

import math

import numpy as np
import torch

from proof.proof import Proof, rate, short
from retroscope.drift.intruders import intruders
from retroscope.drift.spectrum import Spectrum, dense_directions, spectrum

ROWS, COLUMNS, LARGE, R = 96, 128, 20, 8


def proofs(studies: int) -> list[Proof]:
    """Return the rows of intruder dimensions and of amplification."""
    torch.set_num_threads(1)
    return [intruding(studies), amplified(studies)]


def intruding(studies: int) -> Proof:
    """Return the row of intruder dimensions: one new direction, against an equally large change in all directions."""
    one = [intruders(matrix(seed), direction(seed, 40), f"{seed}").intruders for seed in range(studies)]
    even = [intruders(matrix(seed), everywhere(seed, 40), f"{seed}").intruders for seed in range(studies)]
    scaled = [intruders(matrix(seed), 0.5 * matrix(seed), f"{seed}").intruders for seed in range(studies)]
    return Proof(
        instrument="Weights: the change added an intruder dimension",
        control="A random change of equal size in all directions",
        reads=f"A random change adds {short(float(np.mean(even)))} intruder dimensions on average; one new direction "
        f"adds {short(float(np.mean(one)))}",
        failed=float(np.mean(even)) < 0.05 < float(np.mean(one)),
        false=rate(count > 0 for count in scaled),
        power=rate(count == 1 for count in one),
        planted="one direction, with twice the largest singular value",
        coverage=None,
        held_against="the algorithm of the paper with torch.linalg.svd: equal counts (tests/drift)",
    )


def amplified(studies: int) -> Proof:
    """Return the row of amplification: a change of known size in the matrix's own directions, or in random ones."""
    share = 0.2
    along = [of_change(seed, share * matrix(seed)) for seed in range(studies)]
    apart = [of_change(seed, everywhere(seed, float(share * matrix(seed).norm()))) for seed in range(studies)]
    worst = max(abs(found.amplification - share) for found in along)
    aligned = float(np.mean([found.alignment for found in apart]))
    return Proof(
        instrument="Weights: the change is X times as large as the matrix before, in the directions of the change "
        "(amplification)",
        control="A random change, whose directions are unrelated to the matrix",
        reads=f"The alignment is {short(aligned)} (unrelated: 1); that of a change along the matrix is "
        f"{short(along[0].alignment)}",
        failed=aligned < 1.5 < along[0].alignment,
        false=None,
        power=rate(math.isclose(found.amplification, share, rel_tol=1e-6) for found in along),
        planted=f"{short(share)} times the matrix itself, recovered to 1e-6",
        coverage=None,
        held_against=f"its closed form, {short(share)}: differs by at most {worst:.0e}",
    )


def matrix(seed: int) -> torch.Tensor:
    """Return a matrix of singular values 20, 19, ..., 1 in random directions."""
    sizes = torch.arange(LARGE, 0, -1, dtype=torch.float64)
    left, right = (turned(seed, at, n) for at, n in ((0, ROWS), (1, COLUMNS)))
    return left @ torch.diag(sizes) @ right.T


def turned(seed: int, side: int, n: int) -> torch.Tensor:
    """Return random orthonormal columns."""
    drawn = np.random.default_rng([seed, side]).standard_normal((n, LARGE))
    return torch.from_numpy(np.linalg.qr(drawn)[0])


def direction(seed: int, size: float) -> torch.Tensor:
    """Return a change in one random direction."""
    left, right = (turned(seed, at, n)[:, :1] for at, n in ((2, ROWS), (3, COLUMNS)))
    return size * left @ right.T


def everywhere(seed: int, size: float) -> torch.Tensor:
    """Return a Gaussian change of a Frobenius norm."""
    drawn = torch.from_numpy(np.random.default_rng([seed, 4]).standard_normal((ROWS, COLUMNS)))
    return size * drawn / drawn.norm()


def of_change(seed: int, change: torch.Tensor) -> Spectrum:
    """Return what is said of a change of the matrix."""
    return spectrum(matrix(seed), dense_directions(change, R))
