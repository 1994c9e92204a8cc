"""Ablation confirms no more often than it may where the top is one more random set, and still where it is not."""

import gc
import math

import numpy as np
import pytest
import xarray as xr

from retroscope.reporting.neuron_checks import harmed
from retroscope.reporting.neuron_findings import Ablation
from retroscope.reporting.neuron_frames import harm
from retroscope.scores import Scores
from retroscope.statistics.intervals import IntervalSettings
from retroscope.study.ablation_table import area_table, curve_table, prediction_p

gc.freeze()  # statsmodels collects garbage at every correction; it need not look through the libraries each time
ALPHA, QUERIES, DRAWS = 0.05, 100, 5
FEW = IntervalSettings(resamples=100)


def drawn(random: np.random.Generator, loss: float = 0.0) -> Ablation:
    """Every set has a harm of its own, alike for all queries; the top's is one of them, and `loss` more."""
    cost = 0.03 * random.standard_normal(1 + DRAWS)
    cost[0] += loss
    luck = 0.2 * random.standard_normal((QUERIES, 1)) + 0.05 * random.standard_normal((QUERIES, 1 + DRAWS))
    values = np.full((QUERIES, 3, DRAWS, 1, 1), np.nan)
    found = 0.6 + luck - cost
    values[:, :2, 0, 0, 0], values[:, 2, :, 0, 0] = found[:, :1], found[:, 1:]
    labels = {"query": [f"q{i}" for i in range(QUERIES)], "how": ["top", "bottom", "random"],
              "draw": list(range(DRAWS)), "fraction": [0.01], "measure": ["RR@10"]}  # fmt: skip
    ablated = xr.DataArray(values, labels, tuple(labels))
    intact = ablated.isel(how=0, draw=0, fraction=0, drop=True)
    table = curve_table(ablated, intact, FEW).assign(neurons=4, shared_by_chance=0.01)
    return Ablation(Scores("ablation", ablated), Scores("intact", intact), table, area_table(ablated, FEW))


def test_one_more_random_set_is_confirmed_no_more_often_than_alpha() -> None:
    """The control is the rule without the draws: below all five is 1 in 6 by itself, and queries do not stop it."""
    random, n = np.random.default_rng(0), 300
    by_rule, without = np.array([verdicts(drawn(random)) for _ in range(n)]).mean(axis=0)
    error = math.sqrt(ALPHA * (1 - ALPHA) / n)
    assert by_rule <= ALPHA + 3 * error
    assert without > ALPHA + 3 * error


def verdicts(ablation: Ablation) -> tuple[bool, bool]:
    """Of the rule, and of the rule that takes the draws as fixed."""
    table = harm(ablation).table
    by_query = bool((table["effect"] < 0).all() and (table["p_corrected"] < ALPHA).all())
    return harmed(ablation), by_query and bool(ablation.table["below_every_draw"].iloc[0])


def test_a_top_that_harms_far_more_than_sets_differ_is_confirmed() -> None:
    """0.3 is ten of their deviations; t of 4 degrees of freedom exceeds 2.3 nearly always."""
    random = np.random.default_rng(1)
    assert np.mean([harmed(drawn(random, 0.3)) for _ in range(40)]) > 0.9


@pytest.mark.parametrize("m", [2, 5, 20])
def test_the_prediction_test_is_exact_for_normal_draws(m: int) -> None:
    """p is uniform: the share below any level is that level, give or take 3 standard errors."""
    values = np.random.default_rng(m).standard_normal((4000, 1 + m))
    p = np.array([prediction_p(row[0], row[1:]) for row in values])
    for level in (0.01, 0.05, 0.5):
        assert abs((p <= level).mean() - level) <= 3 * math.sqrt(level * (1 - level) / len(p))


def test_draws_that_tell_no_spread() -> None:
    assert math.isnan(prediction_p(0.1, np.array([0.5])))
    equal = np.full(5, 0.1 + 0.2)
    assert prediction_p(0.1, equal) == 1 / 6  # the exact rank probability, however far below
    assert prediction_p(0.1 + 0.2, equal) == 1
    assert prediction_p(0.4, equal) == 1
