"""Grids of trainings: an effect over seeds and queries together, which are crossed."""

import numpy as np
import xarray as xr

from proof.proof import Proof, rate, short
from retroscope.statistics.resampling.crossed import crossed_mean
from retroscope.statistics.resampling.intervals import IntervalSettings
from retroscope.statistics.shares import variance_shares
from retroscope.statistics.worth import worth

SEEDS, QUERIES = 3, 100
EFFECT = 0.15


def proofs(studies: int) -> list[Proof]:
    """Return the rows of effects, of worth in labels and of shares of the variance."""
    return [effect(studies), labels(studies), shares(studies)]


def effect(studies: int) -> Proof:
    """Return the row of an effect over seeds and queries; an interval over queries alone is its control."""
    null = [ends(seed, 0.0) for seed in range(studies)]
    planted = [ends(seed, EFFECT) for seed in range(studies, 2 * studies)]
    over_queries = np.mean([by_queries(seed) for seed in range(studies)])
    own = rate(low > 0 or high < 0 for low, high in null)
    return Proof(
        instrument="Training grid: a part of pre-training has an effect",
        control="An interval over the queries of one seed, which ignores that other seeds give other values",
        reads=f"A false effect is reported in {short(float(over_queries))} of the studies; with the interval over "
        f"seeds and queries, in {short(own.value)}",
        failed=float(over_queries) > 2 * own.value,
        false=own,
        power=rate(low > 0 for low, _ in planted),
        planted=f"an effect of {short(EFFECT)}, {SEEDS} seeds, {QUERIES} queries",
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
    estimate = crossed_mean(values(seed, mean))
    return float(estimate.low), float(estimate.high)


def by_queries(seed: int) -> bool:
    """Return whether one seed's interval over queries excludes the truth, 0."""
    estimate = crossed_mean(values(seed, 0.0)[:1])
    return not float(estimate.low) <= 0 <= float(estimate.high)


def labels(studies: int) -> Proof:
    """Return the row of worth in labels, claimed only where the gap at that budget is significant."""
    null = [claims(seed, 0.0) for seed in range(studies)]
    planted = [claims(seed, EFFECT) for seed in range(max(1, studies // 2))]
    bare, own = rate(one for one, _ in null), rate(shown for _, shown in null)
    return Proof(
        instrument="Training grid: a part of pre-training is worth a number of labels",
        control="The interval of the number of labels alone, without a test of the gap that it comes from",
        reads=f"A false number of labels is reported in {short(bare.value)} of the studies; if the gap must be "
        f"significant, in {short(own.value)}",
        failed=bare.value > 1.5 * own.value,
        false=own,
        power=rate(shown for _, shown in planted),
        planted=f"a gap of {short(EFFECT)}, 10 or 100 labels, {SEEDS} seeds",
        coverage=None,
        held_against="curves with known numbers of labels (tests/statistics/test_crossed.py)",
    )


def claims(seed: int, gain: float) -> tuple[bool, bool]:
    """Return whether a worth at 10 or 100 labels is claimed: by its own interval, and where the gap is significant."""
    random = np.random.default_rng(seed)
    height, query = 0.4 + 0.1 * np.arange(3)[None, :, None], 0.2 * random.standard_normal(QUERIES)
    had, lacked = (
        height + more + query + 0.03 * random.standard_normal((SEEDS, 3, 1))
        + 0.2 * random.standard_normal((SEEDS, 3, QUERIES))
        for more in (gain, 0.0)
    )  # fmt: skip
    worths = worth(had, lacked, (10, 100, 1000), IntervalSettings(resamples=200))[:2]
    return any(one.low > 0 or one.high < 0 for one in worths), any(one.shown for one in worths)


def shares(studies: int) -> Proof:
    """Return the row of shares of the variance, of a grid in which nothing matters but noise."""
    rows = []
    for seed in range(studies):
        means = xr.DataArray(
            np.random.default_rng(seed).standard_normal((2, 3, SEEDS)), dims=("part", "labels", "seed")
        )
        one = variance_shares(means)["labels"]
        rows.append((one.share, one.raw))
    omega, eta = np.mean(rows, axis=0)
    return Proof(
        instrument="Training grid: share of the variance (omega squared)",
        control="The share of the total sum of squares (eta squared), in a grid of noise",
        reads=f"Eta squared of a setting without an effect is {short(float(eta))}; omega squared is "
        f"{short(float(omega))}",
        failed=float(eta) > 2 * float(omega),
        false=None,
        power=None,
        planted="",
        coverage=None,
        held_against="sums of squares by hand (tests/statistics/test_crossed.py)",
    )
