"""Equivalence is shown by a test that can fail to show it."""

import numpy as np
import pytest
from statsmodels.stats.weightstats import ttost_paired

from retroscope.errors import SettingsError
from retroscope.statistics import tost
from retroscope.statistics.resampling.clusters import Clusters

MARGIN = 0.02


def pair(shift, cells=400, queries=800, seed=1):
    random = np.random.default_rng(seed)
    before = random.random((queries, cells))
    return before, before + random.normal(shift, 0.1, before.shape)


def test_retrievers_that_are_equal_are_called_equivalent():
    assert (tost(*pair(0.0), MARGIN) < 0.05).mean() > 0.99  # the margin is 5.7 standard errors away


@pytest.mark.parametrize("shift", [MARGIN, -MARGIN])
def test_retrievers_that_differ_by_the_margin_are_called_equivalent_as_rarely_as_stated(shift):
    rate = (tost(*pair(shift, cells=2000), MARGIN) <= 0.05).mean()
    assert abs(rate - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 2000)


def test_a_test_without_power_shows_no_equivalence():
    assert (tost(*pair(0.0, queries=20), MARGIN) < 0.05).mean() < 0.05


def test_it_agrees_with_statsmodels_cell_by_cell():
    before, after = pair(0.01, cells=5, queries=60)
    after[:9, 3] = np.nan
    ours = tost(before, after, MARGIN)
    for cell in range(5):
        kept = ~np.isnan(after[:, cell])
        theirs = ttost_paired(after[kept, cell], before[kept, cell], -MARGIN, MARGIN)[0]
        assert ours[cell] == pytest.approx(theirs, rel=1e-9)


def test_constant_changes_have_no_t_and_get_the_exact_value():
    before = np.full((8, 3), 0.3)
    after = before + np.array([0.0, 0.01, 0.5])
    assert tost(before, after, MARGIN).tolist() == [2.0**-8, 2.0**-8, 1.0]


def test_outcomes_that_all_stayed_equal_are_equivalent_only_if_a_change_would_have_been_seen():
    for queries in (8, 100, 400):
        same = np.ones((queries, 1))
        assert tost(same, same, MARGIN)[0] == pytest.approx((1 - MARGIN) ** queries)


@pytest.mark.parametrize(("gained", "margin"), [(0, 0.02), (1, 0.3)])
def test_outcomes_that_changed_alike_in_every_text_are_no_more_certain_than_equal_ones(gained, margin):
    """In each of six texts one query was lost and one, or two, gained: called equivalent within .02 with p = .016."""
    before, after = np.array([0, 1, 0, 1.0]), np.array([1, 0, gained, 1.0])
    text = np.repeat(np.arange(6), 4)
    found = tost(np.tile(before, 6)[:, None], np.tile(after, 6)[:, None], margin, Clusters(text))
    mean = gained / 4
    assert found[0] == pytest.approx((1 - (margin - mean) / (1 - mean)) ** 6)


def test_equivalence_of_rare_changes_is_claimed_at_its_level():
    random = np.random.default_rng(5)
    after = (random.random((60, 2000)) < MARGIN).astype(float)  # the mean change is the margin: a true null
    false_positives = (tost(np.zeros_like(after), after, MARGIN) < 0.05).mean()
    assert false_positives < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 2000)


def test_fewer_than_two_pairs_say_nothing():
    assert np.isnan(tost(np.zeros((1, 1)), np.zeros((1, 1)), MARGIN)).all()


def test_a_margin_must_be_stated_above_0():
    with pytest.raises(
        SettingsError,
        match=r"the equivalence margin is 0, but it must be above 0\n  fix: give the smallest difference",
    ):
        tost(np.zeros((3, 1)), np.zeros((3, 1)), 0)
