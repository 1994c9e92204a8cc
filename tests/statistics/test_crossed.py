"""Intervals over seeds and queries cover; shares add up; labels are read off the curve."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from retroscope.errors import AnalysisError
from retroscope.statistics.resampling.clusters import Clusters
from retroscope.statistics.resampling.crossed import crossed_mean, crossed_p
from retroscope.statistics.resampling.intervals import IntervalSettings
from retroscope.statistics.shares import variance_shares
from retroscope.statistics.worth import labels_to_reach, worth

TRIALS = 1500
NOISE = 4 * (0.95 * 0.05 / TRIALS) ** 0.5  # four standard errors of a measured coverage


@pytest.mark.parametrize("spread", [(0.3, 0.3, 0.3), (0.0, 1.0, 0.3), (0.5, 0.0, 1.0), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("n_seeds", [2, 3, 8])
def test_the_interval_covers(spread: tuple[float, float, float], n_seeds: int) -> None:
    of_seeds, of_queries, rest = spread
    random, covered = np.random.default_rng(0), 0
    for _ in range(TRIALS):
        values = of_seeds * random.normal(size=(n_seeds, 1)) + of_queries * random.normal(size=(1, 60))
        estimate = crossed_mean(values + rest * random.normal(size=(n_seeds, 60)))
        covered += bool(estimate.low <= 0 <= estimate.high)
    assert covered / TRIALS > 0.95 - NOISE


def test_one_seed_is_students_interval_over_queries() -> None:
    values = np.random.default_rng(1).normal(size=(1, 40))
    estimate = crossed_mean(values)
    wanted = stats.t.interval(0.95, 39, values.mean(), stats.sem(values[0]))
    assert (float(estimate.low), float(estimate.high)) == pytest.approx(wanted)


@pytest.mark.parametrize("n_seeds", [2, 3])
def test_seeds_of_one_mean_do_not_make_a_certain_number(n_seeds: int) -> None:
    """Each seed loses two queries of its own: the mean of seeds does not vary, that of queries does."""
    values = np.zeros((n_seeds, 20))
    for seed in range(n_seeds):
        values[seed, 2 * seed : 2 * seed + 2] = -1
    both, alone = crossed_mean(values), crossed_mean(values.mean(axis=0, keepdims=True))
    assert (float(both.low), float(both.high)) == pytest.approx((float(alone.low), float(alone.high)))
    of_queries = crossed_p(values.mean(axis=0, keepdims=True))
    assert of_queries > 0.001
    assert crossed_p(values) == pytest.approx(of_queries)


def test_seeds_that_agree_are_no_more_queries() -> None:
    """Three copies of one seed know no more than one."""
    one = np.random.default_rng(2).normal(size=(1, 40))
    assert float(crossed_mean(np.repeat(one, 3, axis=0)).low) == pytest.approx(float(crossed_mean(one).low))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_nothing_ever_found_is_not_known_to_be_impossible(value: float) -> None:
    estimate = crossed_mean(np.full((3, 50), value), bounds=(0, 1))
    exact = stats.binomtest(round(50 * value), 50).proportion_ci(0.95, "exact")
    assert (float(estimate.low), float(estimate.high)) == pytest.approx((exact.low, exact.high))


def test_the_interval_ends_where_the_measure_does() -> None:
    values = np.zeros((3, 50))
    values[0, :5] = 1
    assert float(crossed_mean(values).low) < 0
    assert float(crossed_mean(values, bounds=(0, 1)).low) == 0


def test_no_change_anywhere_is_not_known_to_be_none() -> None:
    estimate = crossed_mean(np.zeros((3, 50)), bounds=(-1, 1))
    share = stats.binomtest(0, 50).proportion_ci(0.95, "exact").high
    assert (float(estimate.low), float(estimate.high)) == pytest.approx((-share, share))


def test_rounding_does_not_make_a_constant_change_certain() -> None:
    base = np.random.default_rng(2).random((3, 20))
    exact, rounded = (crossed_mean(one, bounds=(-1, 1)) for one in (np.full((3, 20), 0.1), (base + 0.1) - base))
    assert (float(rounded.low), float(rounded.high)) == pytest.approx((float(exact.low), float(exact.high)))
    assert rounded.low < 0.05


def test_holes_are_refused() -> None:
    values = np.ones((2, 5))
    values[0, 1] = np.nan
    with pytest.raises(AnalysisError, match="1 of 5 queries have no value for some of the 2 seeds"):
        crossed_mean(values)


def test_a_query_that_nobody_was_asked_is_left_out() -> None:
    values = np.random.default_rng(3).normal(size=(3, 20))
    wider = np.concatenate([values, np.full((3, 1), np.nan)], axis=1)
    assert float(crossed_mean(wider).high) == float(crossed_mean(values).high)


def grid(values: np.ndarray, *dims: str) -> xr.DataArray:
    return xr.DataArray(values, dims=dims)


def test_shares_are_those_of_the_analysis_of_variance() -> None:
    """A main effect of variance 1, an interaction of 1/4, nothing else."""
    a, b = np.array([-1.0, 1.0]), np.array([-1.0, 1.0])
    values = a[:, None] + 0.5 * a[:, None] * b[None, :]
    found = variance_shares(grid(values, "backbone", "strategy"))
    shares = {name: one.share for name, one in found.items()}
    assert shares == pytest.approx({"backbone": 0.8, "strategy": 0.0, "backbone x strategy": 0.2})
    assert np.isnan(found["backbone"].noise), "a single seed tells no noise"


def test_shares_add_up_and_all_that_the_seed_does_is_the_seeds() -> None:
    values = np.random.default_rng(0).normal(size=(3, 1, 2, 4))
    shares = variance_shares(grid(values, "backbone", "reinitialise", "labels", "seed"))
    assert set(shares) == {"backbone", "labels", "backbone x labels", "seed"}
    assert sum(one.share for one in shares.values()) == pytest.approx(1)
    assert min(one.share for one in shares.values()) >= 0
    assert sum(one.raw for one in shares.values()) == pytest.approx(1)


def test_noise_alone_has_no_share_and_eta_squared_gives_it_one() -> None:
    """Two settings of two levels, four seeds: 1 of 15 degrees of freedom is each effect's. ANOVA by hand."""
    random = np.random.default_rng(1)
    means = [variance_shares(grid(random.normal(size=(2, 2, 4)), "backbone", "labels", "seed")) for _ in range(400)]
    raw, share, noise = (np.array([getattr(m["backbone"], k) for m in means]) for k in ("raw", "share", "noise"))
    error = 4 * raw.std() / 20
    assert abs(raw.mean() - 1 / 15) < error
    assert abs(noise.mean() - 1 / 15) < error
    assert np.median(share) == 0
    assert share.mean() < raw.mean() / 1.5


def test_an_effect_keeps_its_share() -> None:
    """Variance of the effect 1, of the noise 1/4: omega squared estimates 1 / (1 + 1/4)."""
    random, sign = np.random.default_rng(2), np.array([-1.0, 1.0])[:, None]
    shares = [
        variance_shares(grid(sign + 0.5 * random.normal(size=(2, 40)), "backbone", "seed"))["backbone"].share
        for _ in range(100)
    ]
    assert np.mean(shares) == pytest.approx(0.8, abs=0.02)


def test_p_and_interval_of_a_crossed_mean_agree() -> None:
    random = np.random.default_rng(3)
    for shift in (0.0, 0.2, 0.6):
        values = shift + 0.2 * random.normal(size=(3, 1)) + random.normal(size=(3, 60))
        p = crossed_p(values)
        estimate = crossed_mean(values, level=1 - p)
        assert min(abs(float(estimate.low)), abs(float(estimate.high))) < 1e-6


def test_copies_of_a_query_add_nothing_over_seeds() -> None:
    values = np.random.default_rng(4).normal(size=(3, 20)) + 0.3
    text = np.repeat(np.arange(20), 3)
    copied, once = crossed_mean(values[:, text], clusters=Clusters(text)), crossed_mean(values)
    assert (float(copied.low), float(copied.high)) == pytest.approx((float(once.low), float(once.high)))
    assert float(crossed_mean(values[:, text]).low) > float(once.low), "as independent queries: too sure"


def test_nothing_is_claimed_where_having_it_is_no_better_at_these_labels() -> None:
    """The worth is read off a noisy curve; the gap at the budget says whether there is anything to read."""
    random, labels = np.random.default_rng(5), (10, 100, 1000)
    claims = np.zeros(2)
    for _ in range(250):
        had, lacked = (
            0.4 + 0.05 * random.normal(size=(2, 3, 1)) + 0.2 * random.normal(size=(2, 3, 80)) for _ in range(2)
        )
        worths = worth(had, lacked, labels, IntervalSettings(resamples=100))[:-1]
        claims += (any(one.low > 0 or one.high < 0 for one in worths), any(one.shown for one in worths))
    error = 3 * np.sqrt(0.05 * 0.95 / 250)
    assert claims[0] / 250 > 0.05 + error, "the interval of the worth alone claims too often"
    assert claims[1] / 250 < 0.05 + error


def test_an_unfinished_grid_has_no_shares() -> None:
    with pytest.raises(AnalysisError, match="no value"):
        variance_shares(grid(np.array([1.0, np.nan]), "labels"))


BUDGETS = np.array([10.0, 100.0, 1000.0])


@pytest.mark.parametrize(
    ("wanted", "labels"),
    [(0.1, 10), (0.2, 10**1.5), (0.3, 100), (0.5, 1000), (0.51, np.inf), (0.05, -np.inf)],
)
def test_labels_are_read_off_the_curve(wanted: float, labels: float) -> None:
    assert labels_to_reach(wanted, BUDGETS, np.array([0.1, 0.3, 0.5])) == pytest.approx(labels)


def test_a_curve_that_dips_is_made_monotone() -> None:
    assert labels_to_reach(0.2, BUDGETS, np.array([0.3, 0.1, 0.5])) == 10


def test_pretraining_that_saves_nine_tenths_of_the_labels() -> None:
    """The curves are one curve, shifted by a factor of ten: at 100 labels that is worth 900."""
    random = np.random.default_rng(0)
    labels = (10, 100, 1000)
    lacked = np.stack([np.full(200, y) for y in (0.1, 0.3, 0.5)])[None] + 0.02 * random.normal(size=(3, 3, 200))
    had = np.stack([np.full(200, y) for y in (0.3, 0.5, 0.7)])[None] + 0.02 * random.normal(size=(3, 3, 200))
    ten, hundred, thousand = worth(had, lacked, labels, IntervalSettings(resamples=200))
    assert ten.value == pytest.approx(90, rel=0.05)
    assert ten.low < 90 < ten.high
    assert hundred.value == np.inf or hundred.value == pytest.approx(900, rel=0.05)
    assert (thousand.value, thousand.low, thousand.beyond) == (np.inf, np.inf, 0)


def test_one_number_of_labels_is_no_curve() -> None:
    with pytest.raises(AnalysisError, match=r"invalid numbers of training labels \(10,\)"):
        worth(np.ones((1, 1, 5)), np.ones((1, 1, 5)), (10,))
