"""The best of many, chosen on other queries: no luck of the choice is left in it."""

import numpy as np
import pytest

from retroscope.statistics.chosen import chosen_on_others, share_of_means
from retroscope.statistics.intervals import IntervalSettings

N = 200
FOLDS = np.arange(N) % 5


def reported(values: np.ndarray) -> float:
    chosen = chosen_on_others(values, FOLDS, default=0)
    return float(np.mean([values[i, chosen[fold]] for i, fold in enumerate(FOLDS)]))


def test_the_best_is_found_where_there_is_one() -> None:
    values = np.random.default_rng(0).standard_normal((N, 12))
    values[:, 7] += 1
    assert chosen_on_others(values, FOLDS, default=0).tolist() == [7] * 5


def test_among_equals_the_reported_mean_is_unbiased_and_the_largest_is_not() -> None:
    """400 simulated studies of 20 variants that are all worth 0: standard error of the mean .0035."""
    rng = np.random.default_rng(1)
    studies = rng.standard_normal((400, N, 20))
    ours = [reported(values) for values in studies]
    largest = [float(values.mean(axis=0).max()) for values in studies]
    assert abs(np.mean(ours)) < 4 * np.std(ours) / 20
    assert np.mean(largest) > 0.1


def test_the_default_stays_unless_another_is_better_by_a_standard_error() -> None:
    rng = np.random.default_rng(2)
    one = rng.standard_normal(N)
    assert chosen_on_others(np.stack([one, one], axis=1), FOLDS, default=1).tolist() == [1] * 5
    slightly = np.stack([one, one + rng.standard_normal(N) * 2 + 0.02], axis=1)
    slightly[:, 1] += 0.02 - (slightly[:, 1] - one).mean()  # ahead by .02, with a standard error of .14
    assert chosen_on_others(slightly, FOLDS, default=0).tolist() == [0] * 5
    assert chosen_on_others(np.stack([one, one + 0.02], axis=1), FOLDS, default=0).tolist() == [1] * 5  # for sure


def test_what_was_not_measured_on_every_query_is_not_chosen() -> None:
    values = np.zeros((N, 2))
    values[:, 1] = 5
    values[3, 1] = np.nan
    assert chosen_on_others(values, FOLDS, default=0).tolist() == [0] * 5


@pytest.mark.parametrize("truth", [0.0, 0.4, 1.3])
def test_the_interval_of_a_share_covers(truth: float) -> None:
    """1,000 studies: coverage of 95 % has a standard error of .007."""
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(1000):
        whole = rng.standard_normal(80) + 0.8
        part = truth * whole + 0.5 * rng.standard_normal(80)
        share = share_of_means(part, whole)
        covered.append(share.low <= truth <= share.high)
    assert 0.93 < np.mean(covered) < 0.97


def test_of_a_gain_that_may_be_0_the_share_may_be_anything() -> None:
    rng = np.random.default_rng(4)
    share = share_of_means(rng.standard_normal(50), rng.standard_normal(50))
    assert (share.low, share.high) == (-np.inf, np.inf)
    assert np.isnan(share_of_means(np.ones(5), np.zeros(5)).value)


def test_a_share_by_hand() -> None:
    whole = np.array([1.0, 2.0, 3.0, 4.0] * 10)
    share = share_of_means(whole / 2, whole, IntervalSettings(level=0.9))
    assert share.value == pytest.approx(0.5)
    assert (share.low, share.high) == (
        pytest.approx(0.5),
        pytest.approx(0.5),
    )  # one is half of the other, query by query
