"""Shapley values: divide an effect exactly among interacting parts, and compute the interactions of pairs.

The Shapley value (1953) of a part is the mean, over all orders of the parts, of what the part adds to the parts before
it. Shapley values add up to the effect of all parts; the effects of single parts do not. They are linear in the effects
of the subsets of parts. Each query therefore has its own Shapley values, whose means have intervals and tests like any
other mean over queries.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import factorial

import numpy as np
from jaxtyping import Float

Subset = frozenset[str]
SubsetValues = Mapping[Subset, Float[np.ndarray, "*cell"]]


def subsets(players: Sequence[str]) -> list[Subset]:
    """Return all subsets of the players, from the empty set to all players."""
    return [frozenset(some) for size in range(len(players) + 1) for some in combinations(players, size)]


def shapley_values(players: Sequence[str], values: SubsetValues) -> dict[str, Float[np.ndarray, "*cell"]]:
    """Return the Shapley value of every player (e.g. a group of blocks) for each entry of the arrays in `values`.

    Args:
        players: names of the players.
        values: subset of the players -> array of its values, e.g. one for each query.
    """
    n = len(players)
    shapley = {}
    for player in players:
        others = subsets([other for other in players if other != player])
        weights = [factorial(len(some)) * factorial(n - len(some) - 1) / factorial(n) for some in others]
        gains = [values[some | {player}] - values[some] for some in others]
        shapley[player] = np.sum([w * gain for w, gain in zip(weights, gains, strict=True)], axis=0)
    return shapley


def pair_interactions(
    players: Sequence[str], values: SubsetValues
) -> dict[tuple[str, str], Float[np.ndarray, "*cell"]]:
    """Return the interaction of every pair of players: their joint effect minus the sum of their single effects.

    With f(0) the value of the empty subset, it is f(ab) - f(a) - f(b) + f(0).
    """
    nobody = values[frozenset()]
    return {
        (a, b): values[frozenset({a, b})] - values[frozenset({a})] - values[frozenset({b})] + nobody
        for a, b in combinations(players, 2)
    }
