"""Coverage of intervals for changes of 0/1 outcomes, and their agreement with McNemar's exact test.

    python benchmarks/audit/outcomes.py                 # about one minute on one core

A share of the queries changes, and a share of these gains. Printed for each simulated study: coverage and mean width of
the bootstrap interval ("before") and of the interval of `compare_scores` ("after"), and how often interval and test
disagree on whether there is a change at the level .05.
"""

import argparse
from dataclasses import replace
from itertools import product

import numpy as np

from retroscope.statistics import IntervalSettings, bootstrap_mean
from retroscope.statistics.resampling.intervals import Interval
from retroscope.statistics.resampling.outcomes import holding_zero, outcome_change, unseen
from retroscope.statistics.testing.paired import mcnemar

QUERIES, CHANGED, GAINED = (20, 50, 200, 500), (0.025, 0.05, 0.1, 0.3), (0.5, 0.7, 0.95)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000)
    studies = parser.parse_args().studies
    error = 1.96 * np.sqrt(0.05 * 0.95 / studies)
    print(f"{studies} studies each; Monte-Carlo error of a .95: +-{error:.3f}; seed 0; before: bootstrap; after: score")
    print("queries | changed | gained of these | coverage before, after | width before, after | disagree before, after")
    for n, changed, gained in product(QUERIES, CHANGED, GAINED):
        print(f"{n} | {changed} | {gained} | {row(n, changed, gained, studies)}", flush=True)


def row(n: int, changed: float, gained: float, studies: int) -> str:
    random = np.random.default_rng(0)
    change = (random.random((n, studies)) < changed) * np.where(random.random((n, studies)) < gained, 1.0, -1.0)
    before, after = (change < 0) * 1.0, (change > 0) * 1.0
    p = mcnemar(before, after)
    score = holding_zero(outcome_change(before, after, change), p > 0.05)
    each = [columns(one, changed * (2 * gained - 1), p) for one in (bootstrap(change), score)]
    return " | ".join(f"{old:.3f}, {new:.3f}" for old, new in zip(*each, strict=True))


def bootstrap(change: np.ndarray) -> Interval:
    """Return the interval of before: a bootstrap, and the exact binomial interval where nothing changed."""
    plain = bootstrap_mean(change, IntervalSettings(resamples=1000))
    share, unmoved = float(unseen(len(change), plain.level)), (change == 0).all(axis=0)
    low, high = np.where(unmoved, -share, plain.low), np.where(unmoved, share, plain.high)
    return replace(plain, low=low, high=high)


def columns(estimate: Interval, truth: float, p: np.ndarray) -> tuple[float, float, float]:
    covered = (estimate.low <= truth) & (truth <= estimate.high)
    claims = (estimate.low > 0) | (estimate.high < 0)
    return covered.mean(), (estimate.high - estimate.low).mean(), (claims != (p <= 0.05)).mean()


if __name__ == "__main__":
    main()
