"""Intervals and tests of erasure over draws and queries: other random subspaces could have been drawn."""

import numpy as np
import pytest
import xarray as xr

from retroscope.analyses.erasure.draws import INTERVAL, TWO_WAY, judged_with_draws, with_draws
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, Difference, compare_scores
from retroscope.statistics.resampling.crossed import crossed_mean, crossed_p

QUERIES, DRAWS = 60, 8
LABELS = {"query": [f"q{i}" for i in range(QUERIES)], "layer": [1, 2], "rank": [2, 6],
          "variant": [f"random:{k}" for k in range(DRAWS)]}  # fmt: skip
FEW = ComparisonSettings(resamples=200)


def against_draws(seed: int, spread: float) -> tuple[Difference, xr.DataArray]:
    """Return a comparison by query, and its changes: no effect on average, but every draw has one of its own."""
    random = np.random.default_rng(seed)
    of_draw = spread * random.standard_normal((1, 2, 2, DRAWS))
    changes = xr.DataArray(of_draw + 0.1 * random.standard_normal((QUERIES, 2, 2, DRAWS)), LABELS, tuple(LABELS))
    mean = changes.mean("variant")
    return compare_scores(Scores("x", xr.zeros_like(mean)), Scores("x", mean), FEW), changes


def test_every_cell_is_the_two_way_mean_of_its_draws_and_queries() -> None:
    difference, changes = against_draws(0, 0.05)
    found = judged_with_draws(difference, changes, 0.95)
    cell = changes.sel(layer=2, rank=6).transpose("variant", "query").values
    expected = crossed_mean(cell)
    at = found.table.sel(layer=2, rank=6)
    assert (float(at["ci_low"]), float(at["ci_high"])) == pytest.approx((float(expected.low), float(expected.high)))
    assert float(at["p"]) == pytest.approx(crossed_p(cell))
    assert float(at["p_corrected"]) >= float(at["p"])
    assert float(at["effect"]) == float(difference.table["effect"].sel(layer=2, rank=6))
    assert found.method["interval"] == INTERVAL


def test_a_layer_where_nothing_is_erased_has_an_interval_with_a_width() -> None:
    difference, changes = against_draws(0, 0.05)
    changes = changes.where(changes["layer"] == 2, 0.0)
    found = judged_with_draws(difference, changes, 0.95).table.sel(layer=1, rank=2)
    assert float(found["ci_low"]) < 0 < float(found["ci_high"])
    assert str(found["test_used"].item()) == TWO_WAY


def test_intervals_alone_leave_the_test_over_queries() -> None:
    difference, changes = against_draws(1, 0.05)
    found = with_draws(difference, changes, 0.95)
    assert found.table["p"].equals(difference.table["p"])
    assert (found.table["ci_low"] < difference.table["ci_low"]).all()


def test_draws_that_differ_are_no_effect() -> None:
    """Over queries alone the mean of eight draws passes for that of all: false in about half of the studies."""
    alone, both = [], []
    for seed in range(20):
        difference, changes = against_draws(seed, 0.05)
        alone.append(float(difference.table["p_corrected"].min()) < 0.05)
        both.append(float(judged_with_draws(difference, changes, 0.95).table["p_corrected"].min()) < 0.05)
    assert np.mean(alone) > 0.3
    assert sum(both) <= 4, "at .05, more than 4 of 20 is a chance of 1 in 380"
