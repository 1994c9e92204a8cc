"""Sequential tests with several looks at the data, so that drawing can stop if the answer is clear.

A test of level alpha at every look has a larger level in all. Each look k therefore has a weight w_k, and the p of all
looks is the least p_k / w_k (weighted Bonferroni; the weights sum to 1). By the union bound this p is valid for any
stopping rule and any dependence between looks. Stopping early leaves out looks, which can only make p larger.
"""

from collections.abc import Sequence
from dataclasses import dataclass

EARLY = 0.25  # weight of the early look; the last one has the rest
FEWEST = 3  # draws of an early look: fewer have too wide a prediction interval to show anything


@dataclass(frozen=True)
class InterimLook:
    """One look of a sequential test: the number of draws after which it happens, and its weight.

    Attributes:
        draws: number of draws that this look tests.
        weight: its share of alpha.
    """

    draws: int
    weight: float


def looks(draws: int) -> tuple[InterimLook, ...]:
    """Return the looks for at most `draws` draws: at half and at all draws, or only at all if half is too few."""
    half = draws // 2
    if half < FEWEST:
        return (InterimLook(draws, 1.0),)
    return InterimLook(half, EARLY), InterimLook(draws, 1 - EARLY)


def sequential_p(looked: Sequence[tuple[InterimLook, float]]) -> float:
    """Return the p-value over all looks so far: the smallest p divided by the weight of its look, at most 1.

    Args:
        looked: each look, with the p of its draws.
    """
    return min([1.0, *(p / look.weight for look, p in looked)])
