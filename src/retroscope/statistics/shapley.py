"""Shapley values: divide an effect exactly among interacting parts, and compute the interactions of pairs.

Shapley (1953): the mean, over all orders of the parts, of the increase that a part adds to the parts before it. The
values add up to the whole effect, as single effects do not. They are linear in the values of the subsets, so each query
has its own, and their means are tested and bounded like any other.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import factorial

import numpy as np
from jaxtyping import Float

Subset = frozenset[str]
SubsetValues = Mapping[Subset, Float[np.ndarray, "*cell"]]


def subsets(players: Sequence[str]) -> list[Subset]:
    """Return all subsets, from the empty to the full one."""
    return [frozenset(some) for size in range(len(players) + 1) for some in combinations(players, size)]


def shapley_values(players: Sequence[str], values: SubsetValues) -> dict[str, Float[np.ndarray, "*cell"]]:
    """Return the Shapley value of every player for each cell, from the value of every subset."""
    n = len(players)
    shapley = {}
    for player in players:
        others = subsets([one for one in players if one != player])
        weights = [factorial(len(some)) * factorial(n - len(some) - 1) / factorial(n) for some in others]
        gains = [values[some | {player}] - values[some] for some in others]
        shapley[player] = np.sum([w * gain for w, gain in zip(weights, gains, strict=True)], axis=0)
    return shapley


def pair_interactions(
    players: Sequence[str], values: SubsetValues
) -> dict[tuple[str, str], Float[np.ndarray, "*cell"]]:
    """Return f(ab) - f(a) - f(b) + f(0) for every pair: the joint effect minus the sum of the single effects."""
    nobody = values[frozenset()]
    return {
        (a, b): values[frozenset({a, b})] - values[frozenset({a})] - values[frozenset({b})] + nobody
        for a, b in combinations(players, 2)
    }
