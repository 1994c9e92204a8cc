"""The area between curves is their mean distance over log10 of the fraction, and its interval covers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from retroscope.errors import SettingsError
from retroscope.statistics.area import area_between, area_weights, mean_area_between
from retroscope.statistics.resampling.intervals import IntervalSettings

FRACTIONS = np.array([0.001, 0.003, 0.01, 0.03, 0.1])
rising = st.lists(st.integers(1, 10_000), min_size=1, max_size=8, unique=True).map(
    lambda x: sorted(k / 10_000 for k in x)
)


@given(rising)
def test_weights_sum_to_one_and_none_is_negative(fractions: list[float]) -> None:
    weights = area_weights(np.array(fractions))
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    assert (weights >= 0).all()


@given(rising, st.floats(-1, 1))
def test_a_constant_distance_is_the_area(fractions: list[float], distance: float) -> None:
    lower = np.linspace(0, 1, len(fractions))[None]
    assert area_between(lower + distance, lower, np.array(fractions)) == pytest.approx(distance, abs=1e-9)


def test_the_area_of_a_straight_line_is_its_middle() -> None:
    """A line in log10 f from 0 to 1; over f itself, the control, the mean is far from the middle."""
    line = (np.log10(FRACTIONS) + 3) / 2
    assert area_between(line[None], 0 * line[None], FRACTIONS) == pytest.approx(0.5, abs=1e-12)
    over_fractions = np.trapezoid(line, FRACTIONS) / (FRACTIONS[-1] - FRACTIONS[0])
    assert abs(over_fractions - 0.5) > 0.2


def test_the_area_is_numpys_trapezoid_over_the_logarithm() -> None:
    random = np.random.default_rng(0)
    upper, lower = random.random((2, 7, 3, 5))
    x = np.log10(FRACTIONS)
    expected = np.trapezoid(upper - lower, x, axis=-1) / (x[-1] - x[0])
    assert area_between(upper, lower, FRACTIONS) == pytest.approx(expected, abs=1e-12)
    assert area_between(lower, upper, FRACTIONS) == pytest.approx(-expected, abs=1e-12)


@given(st.floats(0.1, 9))
def test_neither_the_scale_of_the_fractions_nor_a_point_on_the_line_matters(scale: float) -> None:
    curve = np.array([[0.9, 0.2, 0.4, 0.1, 0.0]])
    once = area_between(curve, 0 * curve, FRACTIONS)
    assert area_between(curve, 0 * curve, scale * FRACTIONS) == pytest.approx(once, abs=1e-9)
    middle = np.sqrt(FRACTIONS[0] * FRACTIONS[1])
    finer = np.insert(curve, 1, curve[:, :2].mean(), axis=1)
    at = np.insert(FRACTIONS, 1, middle)
    assert area_between(finer, 0 * finer, at) == pytest.approx(once, abs=1e-12)
    assert area_between(finer + 0.1 * np.eye(6)[1], 0 * finer, at) > once + 1e-3  # off the line it does


def test_one_fraction_is_the_difference_there() -> None:
    assert area_between(np.array([[0.5], [0.2]]), np.zeros((2, 1)), np.array([0.01])).tolist() == [0.5, 0.2]


@pytest.mark.parametrize("wrong", [[], [0.1, 0.1], [0.1, 0.01], [0.0, 0.1], [-1.0, 1.0], [0.1, np.inf], [np.nan]])
def test_fractions_must_be_positive_and_rise(wrong: list[float]) -> None:
    with pytest.raises(
        SettingsError,
        match=r"invalid fractions \[.*a curve needs at least one, all above 0 and in rising(?s:.)*in rising order",
    ):
        area_weights(np.array(wrong))


def test_a_gap_in_a_curve_leaves_that_query_out() -> None:
    upper = np.ones((3, 5))
    upper[1, 2] = np.nan
    area = mean_area_between(upper, np.zeros((3, 5)), FRACTIONS)
    assert (float(area.mean), int(area.n)) == (pytest.approx(1.0), 2)


def test_the_mean_area_is_the_area_between_the_mean_curves() -> None:
    random = np.random.default_rng(1)
    upper, lower = random.random((2, 50, 5))
    area = mean_area_between(upper, lower, FRACTIONS)
    assert area.mean == pytest.approx(area_between(upper.mean(0), lower.mean(0), FRACTIONS), abs=1e-12)
    assert area.low < area.mean < area.high


def test_the_interval_covers_though_fractions_move_together() -> None:
    """Curves of one query share a random height. The control treats fractions as independent: far too short.

    Coverage of 1,500 intervals of 60 queries; slack: four binomial standard errors and .01 for 1,000 resamples.
    """
    random = np.random.default_rng(2)
    cells, queries = 1500, 60
    height = random.exponential(1, (queries, cells, 1)) - 1
    upper = height + 0.1 * random.standard_normal((queries, cells, 5))
    area = mean_area_between(upper, np.zeros_like(upper), FRACTIONS, IntervalSettings(resamples=1000))
    covered = np.mean((area.low <= 0) & (area.high >= 0))
    slack = 4 * np.sqrt(0.95 * 0.05 / cells) + 0.01
    assert abs(covered - 0.95) < slack
    error = np.sqrt(((area_weights(FRACTIONS) * upper.std(0)) ** 2).sum(-1) / queries)
    short = np.mean(np.abs(area.mean) <= stats.norm.ppf(0.975) * error)
    assert short < 0.95 - 5 * slack
