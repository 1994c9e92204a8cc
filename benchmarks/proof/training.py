"""Grids of trainings: an effect over seeds and queries together, which are crossed."""

import numpy as np

from proof.proof import Proof, rate, short
from retroscope.statistics.crossed import crossed_mean

SEEDS, QUERIES = 3, 100
EFFECT = 0.15


def proofs(studies: int) -> list[Proof]:
    """Return the row of effects in a grid of trainings."""
    return [effect(studies)]


def effect(studies: int) -> Proof:
    """Return the row of an effect over seeds and queries; an interval over queries alone is its control."""
    null = [ends(seed, 0.0) for seed in range(studies)]
    planted = [ends(seed, EFFECT) for seed in range(studies, 2 * studies)]
    over_queries = np.mean([by_queries(seed) for seed in range(studies)])
    own = rate(low > 0 or high < 0 for low, high in null)
    return Proof(
        instrument="Training grid: a part of pre-training had an effect",
        control="the same values with an interval over queries alone, as if a seed were the truth",
        reads=f"false statements {short(float(over_queries))}; over seeds and queries {short(own.value)}",
        failed=float(over_queries) > 2 * own.value,
        false=own,
        power=rate(low > 0 for low, _ in planted),
        planted=f"{short(EFFECT)}, {SEEDS} seeds, {QUERIES} queries",
        coverage=rate(low <= EFFECT <= high for low, high in planted),
        held_against="two-way analysis of variance by hand (tests/statistics/test_crossed.py)",
    )


def values(seed: int, mean: float) -> np.ndarray:
    """Return changes by seed and query: what a seed moves, what a query moves, and the rest."""
    random = np.random.default_rng(seed)
    of_seed, of_query = 0.03 * random.standard_normal((SEEDS, 1)), 0.1 * random.standard_normal((1, QUERIES))
    return np.asarray(mean + of_seed + of_query + 0.2 * random.standard_normal((SEEDS, QUERIES)))


def ends(seed: int, mean: float) -> tuple[float, float]:
    """Return the interval of the mean change."""
    found = crossed_mean(values(seed, mean))
    return float(found.low), float(found.high)


def by_queries(seed: int) -> bool:
    """Return whether one seed's interval over queries excludes the truth, 0."""
    found = crossed_mean(values(seed, 0.0)[:1])
    return not float(found.low) <= 0 <= float(found.high)
