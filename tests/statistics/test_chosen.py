"""The best of many, chosen on other queries: no luck of the choice is left in it."""

import numpy as np

from retroscope.statistics.chosen import chosen_on_others
from retroscope.statistics.resampling.clusters import Clusters, independent
from retroscope.statistics.resampling.shared_passages import standard_error

N = 200
FOLDS = np.arange(N) % 5
OWN = independent(N)


def reported(values: np.ndarray) -> float:
    chosen = chosen_on_others(values, FOLDS, default=0, clusters=OWN)
    return float(np.mean([values[i, chosen[fold]] for i, fold in enumerate(FOLDS)]))


def test_the_best_is_found_where_there_is_one() -> None:
    values = np.random.default_rng(0).standard_normal((N, 12))
    values[:, 7] += 1
    assert chosen_on_others(values, FOLDS, default=0, clusters=OWN).tolist() == [7] * 5


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
    assert chosen_on_others(np.stack([one, one], axis=1), FOLDS, default=1, clusters=OWN).tolist() == [1] * 5
    slightly = np.stack([one, one + rng.standard_normal(N) * 2 + 0.02], axis=1)
    slightly[:, 1] += 0.02 - (slightly[:, 1] - one).mean()  # ahead by .02, with a standard error of .14
    assert chosen_on_others(slightly, FOLDS, default=0, clusters=OWN).tolist() == [0] * 5
    assert (
        chosen_on_others(np.stack([one, one + 0.02], axis=1), FOLDS, default=0, clusters=OWN).tolist() == [1] * 5
    )  # for sure


def test_what_was_not_measured_on_every_query_is_not_chosen() -> None:
    values = np.zeros((N, 2))
    values[:, 1] = 5
    values[3, 1] = np.nan
    assert chosen_on_others(values, FOLDS, default=0, clusters=OWN).tolist() == [0] * 5


def test_repeated_texts_are_no_further_evidence_for_a_variant() -> None:
    """25 texts, 8 queries each: the mean gain is .6 standard errors of the texts, 1.7 of the queries."""
    texts = np.repeat(np.arange(25), 8)
    gain = np.repeat(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), 5)  # the five texts of every fold have these
    kept = gain[np.arange(25) % 5 > 0]
    gain += 0.6 * kept.std(ddof=1) / np.sqrt(len(kept))
    values = np.stack([np.zeros(N), gain[texts]], axis=1)
    folds = texts % 5
    naive = chosen_on_others(values, folds, default=0, clusters=OWN)
    ours = chosen_on_others(values, folds, default=0, clusters=Clusters(texts))
    assert naive.tolist() == [1] * 5, "queries that count as independent should talk it out of the default"
    assert ours.tolist() == [0] * 5


def test_the_standard_error_is_that_of_the_texts() -> None:
    values = np.random.default_rng(4).standard_normal((50, 3))
    plain = values.std(axis=0, ddof=1) / np.sqrt(50)
    np.testing.assert_allclose(standard_error(values, independent(50)), plain)
    eight = np.repeat(np.arange(50), 8)
    np.testing.assert_allclose(standard_error(values[eight], Clusters(eight)), plain)
    assert np.isinf(standard_error(values, Clusters(np.zeros(50, dtype=int)))).all()
