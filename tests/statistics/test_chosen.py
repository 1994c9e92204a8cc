"""The best of many, chosen on other queries: no luck of the choice is left in it."""

import numpy as np

from retroscope.statistics.chosen import chosen_on_others

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
