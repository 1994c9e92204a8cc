"""Intervals of outcomes of 0 or 1: exact formulas, coverage with rare outcomes, and agreement with the exact test."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, bootstrap_mean, compare_scores, outcome_mean
from retroscope.statistics.resampling.clusters import Clusters
from retroscope.statistics.resampling.outcomes import outcome_change


def paired(gained, lost, n):
    """Outcomes before and after of one cell: `gained` rise, `lost` fall, the others are 0."""
    after = (np.arange(n) < gained).astype(float)[:, None]
    before = ((np.arange(n) >= gained) & (np.arange(n) < gained + lost)).astype(float)[:, None]
    return before, after


def change_of(gained, lost, n, clusters=None):
    before, after = paired(gained, lost, n)
    return outcome_change(before, after, after - before, clusters=clusters)


def compared(before, after):
    queries = [f"q{k:03}" for k in range(len(before))]
    coords = {"query": queries, "layer": np.arange(before.shape[1])}
    sides = [Scores("probes", xr.DataArray(side, dims=("query", "layer"), coords=coords)) for side in (before, after)]
    return compare_scores(*sides, ComparisonSettings(resamples=100, permutations=100))


def slack(level, trials):
    return 4 * np.sqrt(level * (1 - level) / trials)


def covered(estimate, truth):
    return ((estimate.low <= truth) & (truth <= estimate.high)).mean()


@pytest.mark.parametrize("right", [1, 5, 20, 39])
def test_the_interval_of_a_share_is_wilsons(right):
    estimate = outcome_mean((np.arange(40) < right).astype(float)[:, None])
    assert (estimate.low[0], estimate.high[0]) == pytest.approx(proportion_confint(right, 40, method="wilson"))


def test_the_interval_of_a_change_is_tangos():
    """Fagerland, Lydersen and Laake (2014): 1 and 7 discordant pairs of 21 give [-.517, -.026]."""
    estimate = change_of(1, 7, 21)
    assert (estimate.low[0], estimate.high[0]) == pytest.approx((-0.517, -0.026), abs=5e-4)


@pytest.mark.parametrize(("gained", "lost", "n"), [(5, 0, 50), (3, 2, 20), (30, 12, 44), (400, 350, 3000)])
def test_the_ends_are_where_the_score_test_rejects(gained, lost, n):
    """The test is written out here: the most likely shares under the null are found on a grid."""
    estimate, shares = change_of(gained, lost, n), np.linspace(0, 1, 400_001)[1:-1]
    for end in (estimate.low[0], estimate.high[0]):
        rest = 1 - 2 * shares - end  # shares: of lost outcomes; shares + end: of gained ones
        possible = (shares + end > 0) & (rest > 0)
        lose, win, stay = shares[possible], shares[possible] + end, rest[possible]
        best = np.argmax(gained * np.log(win) + lost * np.log(lose) + (n - gained - lost) * np.log(stay))
        z = (gained - lost - n * end) / np.sqrt(n * (win[best] + lose[best] - end**2))
        assert abs(z) == pytest.approx(1.959964, abs=2e-3)


def test_interval_and_exact_test_agree_in_every_table():
    """A bootstrap of 5 gained and 0 lost of 50 says [+.020, +.200] beside p = .0625."""
    tables = [(gained, lost) for gained in range(46) for lost in range(46 - gained)]
    cells = [paired(gained, lost, 45) for gained, lost in tables]
    before, after = (np.concatenate(side, axis=1) for side in zip(*cells, strict=True))
    table = compared(before, after).table
    without_zero = ((table["ci_low"] > 0) | (table["ci_high"] < 0)).values
    assert without_zero.tolist() == (table["p"] <= 0.05).values.tolist()
    bare = bootstrap_mean(after - before)
    assert (((bare.low > 0) | (bare.high < 0)) != (table["p"] <= 0.05).values).mean() > 0.02


def test_exchanged_models_have_exactly_the_opposite_interval():
    one, other = (compared(*sides).table for sides in (paired(9, 2, 40), paired(9, 2, 40)[::-1]))
    assert one["ci_low"].item() == -other["ci_high"].item()
    assert one["ci_high"].item() == -other["ci_low"].item()


@pytest.mark.parametrize("queries", [20, 50, 200])
@pytest.mark.parametrize(("moved", "up"), [(0.025, 0.7), (0.05, 0.7), (0.1, 0.95), (0.3, 0.5)])
def test_intervals_of_changes_cover_at_every_rate_of_change(queries, moved, up):
    random, studies = np.random.default_rng(queries), 2000
    change = (random.random((queries, studies)) < moved) * np.where(random.random((queries, studies)) < up, 1.0, -1.0)
    estimate = outcome_change((change < 0) * 1.0, (change > 0) * 1.0, change)
    assert covered(estimate, moved * (2 * up - 1)) > 0.94 - slack(0.95, studies)


def test_the_bootstrap_misses_rare_changes_where_score_intervals_do_not():
    random = np.random.default_rng(5)
    change = (random.random((50, 2000)) < 0.025) * np.where(random.random((50, 2000)) < 0.7, 1.0, -1.0)
    estimate = outcome_change((change < 0) * 1.0, (change > 0) * 1.0, change)
    assert covered(bootstrap_mean(change), 0.01) < 0.9
    assert covered(estimate, 0.01) > 0.95 - slack(0.95, 2000)


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1, 0.5, 0.97])
def test_intervals_of_shares_cover_rare_outcomes(rate):
    outcomes = (np.random.default_rng(3).random((50, 4000)) < rate).astype(float)
    assert covered(outcome_mean(outcomes), rate) > 0.93 - slack(0.93, 4000)


def test_copies_of_a_text_add_nothing():
    text = np.repeat(np.arange(40), 3)
    once = change_of(9, 3, 40)
    before, after = (np.repeat(side, 3, axis=0) for side in paired(9, 3, 40))
    thrice = outcome_change(before, after, after - before, clusters=Clusters(text))
    assert thrice.mean[0] == pytest.approx(once.mean[0])
    # Student's quantile with 39 degrees of freedom is 3 % larger than the normal one
    assert thrice.high[0] - thrice.low[0] == pytest.approx(once.high[0] - once.low[0], rel=0.05)
    assert thrice.high[0] > once.high[0]


def test_intervals_over_repeated_texts_cover():
    """Two queries of a text change alike in three of four cases. Without the texts the coverage is .86 or less."""
    random, texts, studies = np.random.default_rng(8), 150, 1500
    own = (random.random((texts, studies)) < 0.1) * np.where(random.random((texts, studies)) < 0.6, 1.0, -1.0)
    other = (random.random((texts, studies)) < 0.1) * np.where(random.random((texts, studies)) < 0.6, 1.0, -1.0)
    change = np.stack([own, np.where(random.random((texts, studies)) < 0.75, own, other), own], axis=1)
    change = change.reshape(-1, studies)
    sides = ((change < 0) * 1.0, (change > 0) * 1.0, change)
    clustered = outcome_change(*sides, clusters=Clusters(np.repeat(np.arange(texts), 3)))
    assert covered(clustered, 0.02) > 0.95 - slack(0.95, studies)
    assert covered(outcome_change(*sides), 0.02) < 0.86


def test_opposite_outcomes_of_one_text_do_not_narrow_the_interval():
    """The queries of a text that cancel are no more evidence than as many independent queries."""
    outcomes = np.tile([1.0, 0.0], 20)[:, None]
    outcomes[:2] = 1.0
    clustered = outcome_mean(outcomes, clusters=Clusters(np.repeat(np.arange(20), 2)))
    apart = outcome_mean(outcomes)
    assert clustered.high[0] - clustered.low[0] >= apart.high[0] - apart.low[0]


def test_unmeasured_queries_and_other_scores_keep_their_place():
    outcomes = np.array([[1.0, 0.5, np.nan, 0.0], [0.0, 0.25, np.nan, np.nan]] * 15)
    estimate = outcome_mean(outcomes)
    assert estimate.n.tolist() == [30, 30, 0, 15]
    assert (estimate.low[0], estimate.high[0]) == pytest.approx(proportion_confint(15, 30, method="wilson"))
    bare = bootstrap_mean(outcomes[:, 1:2])
    assert (estimate.low[1], estimate.high[1]) == (bare.low[0], bare.high[0])
    assert np.isnan([estimate.mean[2], estimate.low[2], estimate.high[2]]).all()
    assert estimate.high[3] == pytest.approx(1 - 0.025 ** (1 / 15))


def test_outcomes_that_are_all_equal_have_the_exact_binomial_interval():
    estimate = outcome_mean(np.array([[0.0, 1.0, 0.1, np.nan, 0.0]] * 30))
    share = stats.beta.ppf(0.975, 1, 30)  # Clopper and Pearson, none of 30
    assert estimate.low.tolist() == pytest.approx([0, 1 - share, 0.1, np.nan, 0], nan_ok=True)
    assert estimate.high.tolist() == pytest.approx([share, 1, 0.1, np.nan, share], nan_ok=True)


def test_equal_outcomes_are_counted_by_text():
    text = np.repeat(np.arange(10), 3)
    estimate = outcome_mean(np.zeros((30, 1)), clusters=Clusters(text))
    assert estimate.high[0] == pytest.approx(1 - 0.025**0.1)


@pytest.mark.parametrize("outcomes", [(0.0, 1.0), (1.0, 0.0, 0.0)])
def test_outcomes_that_differ_within_texts_only_have_an_interval(outcomes):
    """No resample of texts differs, so that the bootstrap was certain of a share of one half on six texts."""
    estimate = outcome_mean(np.tile(outcomes, 6)[:, None], clusters=Clusters(np.repeat(np.arange(6), len(outcomes))))
    mean, share = np.mean(outcomes), 1 - 0.025 ** (1 / 6)
    assert (estimate.low[0], estimate.high[0]) == pytest.approx((mean - share * mean, mean + share * (1 - mean)))


def test_one_text_has_no_interval():
    estimate = outcome_mean(np.array([[1.0], [0.0], [0.0]]), clusters=Clusters(np.zeros(3, dtype=int)))
    assert np.isnan([estimate.low[0], estimate.high[0]]).all()
