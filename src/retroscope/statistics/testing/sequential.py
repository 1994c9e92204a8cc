"""Sequential tests that look at the random draws more than once, so that drawing can stop early if the result is clear.

If every look were tested at level alpha, the error rate over all looks would exceed alpha. Each look k therefore has a
weight w_k, and the p-value over all looks is the smallest p_k / w_k (weighted Bonferroni; the weights sum to 1). By the
union bound this p-value is valid for any stopping rule and any dependence between looks. Stopping early leaves out
looks, which can only make it larger.
"""

from collections.abc import Sequence
from dataclasses import dataclass

EARLY = 0.25  # weight of the early look; the last one has the rest
FEWEST = 3  # draws of an early look: fewer have too wide a prediction interval to show anything


@dataclass(frozen=True)
class InterimLook:
    """One interim test (look) of a sequential test: after how many draws it is made, and its share of alpha.

    Attributes:
        draws: number of draws that this look uses.
        weight: share of the error rate alpha that this look may use.
    """

    draws: int
    weight: float


def looks(draws: int) -> tuple[InterimLook, ...]:
    """Return the interim tests (looks) of a test with at most `draws` random draws: after half of them and after all.

    If half of the draws are fewer than `FEWEST`, there is only the look after all draws.
    """
    half = draws // 2
    if half < FEWEST:
        return (InterimLook(draws, 1.0),)
    return InterimLook(half, EARLY), InterimLook(draws, 1 - EARLY)


def sequential_p(looked: Sequence[tuple[InterimLook, float]]) -> float:
    """Return the p-value over all interim tests (looks) so far: the smallest quotient p / weight, at most 1.

    Args:
        looked: each look that has happened, with the p-value of its draws.
    """
    return min([1.0, *(p / look.weight for look, p in looked)])
