"""Intervals cover the true mean as often as they say, on scores as skewed as real ones."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from retroscope.errors import AnalysisError, SettingsError
from retroscope.scores import Scores
from retroscope.statistics import IntervalSettings, bootstrap_mean, summarise
from retroscope.statistics.resampling import intervals

FOUND = 0.7
TRUE_MEAN = FOUND * sum(0.45 * 0.55 ** (k - 1) / k for k in range(1, 11))


def reciprocal_ranks(random, shape):
    ranks = random.geometric(0.45, shape)
    return np.where((ranks > 10) | (random.random(shape) > FOUND), 0.0, 1.0 / ranks)


def coverage(draw, truth, level=0.95, trials=2000):
    """Share of intervals that hold the truth, over 8 sets of resamples."""
    hits = []
    for seed in range(8):
        estimate = bootstrap_mean(draw(trials // 8), IntervalSettings(level=level, resamples=1000, seed=seed))
        hits.append((estimate.low <= truth) & (truth <= estimate.high))
    return np.mean(hits)


def slack(level, trials=2000):
    """Four binomial standard errors, and the jitter of the ends themselves over 8 x 1,000 resamples."""
    share = (1 - level) / 2
    ends = 2 * np.sqrt(share * (1 - share) / 8000)
    return 4 * np.hypot(np.sqrt(level * (1 - level) / trials), ends)


@pytest.mark.parametrize("queries", [50, 300, 1000])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_intervals_of_reciprocal_ranks_cover_at_their_nominal_rate(queries, level):
    random = np.random.default_rng(queries)
    covered = coverage(lambda cells: reciprocal_ranks(random, (queries, cells)), TRUE_MEAN, level)
    assert abs(covered - level) < slack(level)


def test_intervals_of_differences_cover_at_their_nominal_rate():
    random = np.random.default_rng(1)

    def draw(cells):
        change = reciprocal_ranks(random, (300, cells)) - reciprocal_ranks(random, (300, cells))
        return np.where(random.random(change.shape) < 0.7, 0.0, change)

    assert abs(coverage(draw, 0.0) - 0.95) < slack(0.95)


def test_rows_that_are_not_independent_queries_cover_far_too_rarely():
    """Eight passages of one question counted as eight queries: the interval is sqrt(8) too short."""
    random = np.random.default_rng(2)
    covered = coverage(lambda cells: np.repeat(reciprocal_ranks(random, (300, cells)), 8, axis=0), TRUE_MEAN)
    predicted = 2 * stats.norm.cdf(1.96 / np.sqrt(8)) - 1  # .51
    assert abs(covered - predicted) < slack(predicted) + 0.01


def test_the_ends_are_those_of_a_bootstrap_written_as_a_loop():
    random = np.random.default_rng(3)
    values = reciprocal_ranks(random, 400)
    means = [random.choice(values, 400).mean() for _ in range(4000)]
    share = stats.norm.cdf(-np.sqrt(400 / 399) * stats.t.ppf(0.975, 399))
    estimate = bootstrap_mean(values)
    error = values.std() / np.sqrt(400)
    # standard error of a quantile: sqrt(q (1 - q) / B) / density, for 2,000 and 4,000 resamples
    tolerance = 4 * np.sqrt(0.025 * 0.975 * (1 / 2000 + 1 / 4000)) / stats.norm.pdf(1.96) * error
    assert estimate.low == pytest.approx(np.quantile(means, share), abs=tolerance)
    assert estimate.high == pytest.approx(np.quantile(means, 1 - share), abs=tolerance)
    assert estimate.mean == pytest.approx(values.mean(), abs=1e-12)


def test_the_percentiles_widen_for_few_queries_as_student_asks():
    """Phi(-sqrt(20 / 19) 2.0930) = .0159 for 20 queries; the plain .025 for very many."""
    assert intervals.tail(0.95, np.array([20, 10**7])) == pytest.approx([0.0159, 0.025], abs=5e-5)


def test_few_queries_cover_where_the_plain_percentile_interval_does_not():
    random = np.random.default_rng(9)
    values = [reciprocal_ranks(random, (12, 2000)) for _ in range(2)]
    estimate = bootstrap_mean(values[0] - values[1], IntervalSettings(resamples=1000))
    missed = 1 - ((estimate.low <= 0) & (estimate.high >= 0)).mean()
    centred = values[0] - values[1] - estimate.mean
    means = intervals._resampled_means(centred, np.ones(centred.shape, int), IntervalSettings(resamples=1000))
    ends = estimate.mean + np.quantile(means, [0.025, 0.975], axis=0)
    missed_by_plain = 1 - ((ends[0] <= 0) & (ends[1] >= 0)).mean()
    assert missed < 0.05 + slack(0.95)
    assert missed_by_plain > 0.05 + slack(0.95)


def test_the_interval_of_the_negated_values_is_the_negated_interval_to_the_last_bit():
    values = reciprocal_ranks(np.random.default_rng(4), (101, 7))
    one, other = bootstrap_mean(values), bootstrap_mean(-values)
    assert (one.low == -other.high).all()
    assert (one.high == -other.low).all()


def test_missing_queries_are_left_out_cell_by_cell():
    values = reciprocal_ranks(np.random.default_rng(5), (200, 3))
    holes = values.copy()
    holes[:80, 1] = np.nan
    estimate, alone = bootstrap_mean(holes), bootstrap_mean(values[80:, 1])
    assert estimate.n.tolist() == [200, 120, 200]
    assert estimate.mean[1] == pytest.approx(values[80:, 1].mean())
    width, expected = estimate.high[1] - estimate.low[1], alone.high - alone.low
    assert width == pytest.approx(expected, rel=0.2)
    assert estimate.low[0] == pytest.approx(bootstrap_mean(values[:, 0]).low, abs=1e-12)


def test_queries_that_nobody_measured_change_nothing():
    values = reciprocal_ranks(np.random.default_rng(6), (50, 3))
    more = np.vstack([np.full((4, 3), np.nan), values])
    assert (bootstrap_mean(more).low == bootstrap_mean(values).low).all()


def test_cells_keep_their_shape_and_blocks_do_not_show(monkeypatch):
    values = reciprocal_ranks(np.random.default_rng(7), (60, 4, 5))
    values[:3, 2, 2] = np.nan
    whole = bootstrap_mean(values)
    assert whole.low.shape == (4, 5)
    monkeypatch.setattr(intervals, "BLOCK", 7000)
    parts = bootstrap_mean(values)
    assert parts.low == pytest.approx(whole.low, abs=1e-12)
    assert parts.high == pytest.approx(whole.high, abs=1e-12)


def test_few_queries_give_a_mean_and_no_interval():
    estimate = bootstrap_mean(np.array([[1.0, np.nan], [np.nan, np.nan]]))
    assert estimate.mean[0] == 1
    assert np.isnan([estimate.mean[1], *estimate.low, *estimate.high]).all()
    assert estimate.n.tolist() == [1, 0]
    assert np.isnan(bootstrap_mean(np.zeros((0, 2))).mean).all()


def test_a_constant_has_an_interval_of_no_width():
    estimate = bootstrap_mean(np.full((30, 1), 0.1))
    assert estimate.low[0] == pytest.approx(0.1)
    assert estimate.high[0] == pytest.approx(0.1)


def test_settings_are_checked():
    with pytest.raises(
        SettingsError, match=r"level is 95, which is out of range\n  fix: give more than 0 and less than 1"
    ):
        IntervalSettings(level=95)
    with pytest.raises(SettingsError, match=r"resamples is 10, which is out of range\n  fix: give at least 100"):
        IntervalSettings(resamples=10)


def test_a_summary_has_the_labels_of_the_scores():
    random = np.random.default_rng(8)
    coords = {"query": [f"q{i}" for i in range(40)], "layer": [0, 1, 2]}
    scores = Scores("retrieval", xr.DataArray(random.random((40, 3)), dims=("query", "layer"), coords=coords))
    table = summarise(scores)
    assert set(table.data_vars) == {"mean", "ci_low", "ci_high", "n"}
    assert table["mean"].sel(layer=2).item() == pytest.approx(scores.mean().sel(layer=2).item())
    assert (table["ci_low"] < table["mean"]).all()
    assert table.attrs["level"] == 0.95


def test_a_score_without_bound_has_no_mean():
    values = xr.DataArray([1.0, np.inf], dims=("query",), coords={"query": ["a", "b"]})
    with pytest.raises(
        AnalysisError, match=r"(?s)infinite, so the mean over queries is not defined:\n  - b\n  fix: set scores"
    ):
        summarise(Scores("loss", values))
