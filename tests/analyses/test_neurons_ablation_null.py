"""Ablation confirms no more often than it may where the top is one more random set, and still where it is not."""

import math
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from retroscope.analyses.neurons.ablation.table import area_table, curve_table
from retroscope.analyses.neurons.result import AblationCurves
from retroscope.scores import Scores
from retroscope.statistics.resampling.intervals import IntervalSettings
from retroscope.statistics.testing.prediction import prediction_p

pytestmark = pytest.mark.usefixtures("no_collection")

ALPHA, QUERIES, DRAWS = 0.05, 100, 5
FEW = IntervalSettings(resamples=100)


HOWS = ("top", "signed", "largest", "bottom", "random")


def drawn(random: np.random.Generator, loss: float = 0.0, largest: float = 0.0) -> AblationCurves:
    """Every set has a harm of its own, alike for all queries; the top's is one of them, and `loss` more.

    The largest harm as one more set does, and `largest` more.
    """
    cost = 0.03 * random.standard_normal(2 + DRAWS)
    cost[:2] += loss, largest
    luck = 0.2 * random.standard_normal((QUERIES, 1)) + 0.05 * random.standard_normal((QUERIES, 2 + DRAWS))
    values = np.full((QUERIES, len(HOWS), DRAWS, 1, 1), np.nan)
    found = 0.6 + luck - cost
    values[:, (0, 1, 3), 0, 0, 0], values[:, 2, 0, 0, 0] = found[:, :1], found[:, 1]
    values[:, 4, :, 0, 0] = found[:, 2:]
    labels = {"query": [f"q{i}" for i in range(QUERIES)], "how": list(HOWS),
              "draw": list(range(DRAWS)), "fraction": [0.01], "measure": ["RR@10"]}  # fmt: skip
    ablated = xr.DataArray(values, labels, tuple(labels))
    intact = ablated.isel(how=0, draw=0, fraction=0, drop=True)
    table = curve_table(ablated, intact, FEW).assign(neurons=4, layers=1, shared_by_chance=0.01, shared_with_largest=0)
    scores, recipe = Scores("ablation", ablated), {"beside": "signed", "layers": 2, "level": 0.95}
    return AblationCurves(scores, Scores("intact", intact), table, area_table(ablated, FEW), recipe)


def test_one_more_random_set_is_confirmed_no_more_often_than_alpha() -> None:
    """The control is the rule without the draws: below all five is 1 in 6 by itself, and queries do not stop it."""
    random, n = np.random.default_rng(0), 300
    over_random, without = np.array([verdicts(drawn(random)) for _ in range(n)]).mean(axis=0)
    error = math.sqrt(ALPHA * (1 - ALPHA) / n)
    assert over_random <= ALPHA + 3 * error
    assert without > ALPHA + 3 * error


def verdicts(ablation: AblationCurves) -> tuple[bool, bool]:
    """Of the rule against random neurons, and of the rule that takes the draws as fixed."""
    row = ablation.table.iloc[0]
    by_query = bool(row["harm"] > 0 and row["p_queries"] < ALPHA)
    return bool(row["over_random"]), by_query and bool(row["below_every_draw"])


def test_a_top_that_harms_far_more_than_sets_differ_is_confirmed() -> None:
    """0.3 is ten of their deviations; t of 4 degrees of freedom exceeds 2.3 nearly always."""
    random = np.random.default_rng(1)
    assert np.mean([drawn(random, 0.3).harms for _ in range(40)]) > 0.9


def test_a_top_that_only_names_large_neurons_is_not_confirmed() -> None:
    """Both harm by .3: against random neurons alone, the old rule, all are; by both controls no more than chance.

    The two sets hold the same neurons, so that their queries differ by noise of .05 alone and p is uniform where the
    top is lower: half of alpha, give or take three standard errors.
    """
    random, n = np.random.default_rng(2), 200
    studies = [same_neurons(drawn(random, 0.3, 0.3), random) for _ in range(n)]
    assert np.mean([a.table["over_random"].iloc[0] for a in studies]) > 0.9
    assert np.mean([a.harms for a in studies]) <= ALPHA / 2 + 3 * math.sqrt(ALPHA / 2 * (1 - ALPHA / 2) / n)


def same_neurons(studies: AblationCurves, random: np.random.Generator) -> AblationCurves:
    """The same, the largest leaving what the top leaves but for noise of the queries."""
    values = studies.scores.values.copy()
    noise = 0.05 * random.standard_normal(QUERIES)
    values.loc[{"how": "largest", "draw": 0}] = values.sel(how="top", draw=0) + noise[:, None, None]
    table = curve_table(values, studies.intact.values, FEW)
    return replace(studies, table=studies.table.assign(**{name: table[name] for name in table}))


def test_shares_are_corrected_for_how_many_there_are() -> None:
    """Six shares of a true null: any of them is confirmed no more often than alpha."""
    random, n = np.random.default_rng(3), 200
    labels = {"query": [f"q{i}" for i in range(40)], "how": ["top", "largest", "random"], "draw": list(range(DRAWS)),
              "fraction": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3], "measure": ["RR@10"]}  # fmt: skip
    any_of_them, uncorrected = [], []
    for _ in range(n):
        cost = 0.03 * random.standard_normal((3, DRAWS, 6, 1))
        values = 0.6 - cost[None] + 0.02 * random.standard_normal((40, 3, DRAWS, 6, 1))
        values[:, 1] = values[:, 0] + 0.5  # the largest never harm: all rests on the draws
        ablated = xr.DataArray(values, labels, tuple(labels))
        table = curve_table(ablated, ablated.isel(how=0, draw=0, fraction=0, drop=True), FEW)
        any_of_them.append(table["confirmed"].any())
        uncorrected.append((table[["p_queries", "p_draws", "p_largest"]].max(axis=1) <= ALPHA)[table.harm > 0].any())
    error = math.sqrt(ALPHA * (1 - ALPHA) / n)
    assert np.mean(any_of_them) <= ALPHA + 3 * error
    assert np.mean(uncorrected) > ALPHA + 3 * error


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


def test_areas_of_queries_that_share_passages_are_less_sure() -> None:
    """60 queries with one of six passages, which decide what the top neurons do: six observations, not 60."""
    rng = np.random.default_rng(7)
    harm = 0.1 + 0.1 * rng.standard_normal(6)[np.arange(60) % 6] + 0.01 * rng.standard_normal(60)
    values = np.zeros((60, 4, 3, 1, 1))
    values[:, 0] -= harm[:, None, None, None]
    coords = {"query": [f"q{i}" for i in range(60)], "how": ["top", "largest", "bottom", "random"], "draw": [0, 1, 2],
              "fraction": [0.1], "measure": ["RR@10"]}  # fmt: skip
    ablated = xr.DataArray(values, coords, tuple(coords))
    passages = {f"q{i}": (f"p{i % 6}",) for i in range(60)}
    shared, apart = (area_table(ablated, FEW, some).set_index("how").loc["top"] for some in (passages, None))
    assert shared.area == apart.area == pytest.approx(harm.mean())
    assert shared.area_high - shared.area_low > 2 * (apart.area_high - apart.area_low)
