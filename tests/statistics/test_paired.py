"""Paired tests: calibrated under the null, equal to enumeration and to scipy, never 0."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from retroscope.errors import AnalysisError, SettingsError
from retroscope.statistics import PAIRED_TESTS, SignFlips, mcnemar, paired_t, sign_flip, wilcoxon
from retroscope.statistics.resampling import flips
from retroscope.statistics.testing.paired import paired_differences, unpaired_t

KOLMOGOROV = 1.95  # sqrt(n) D stays below it with probability .999 (Kolmogorov's law)
SIGMAS = 4


def reciprocal_ranks(random, shape, success=0.45):
    """Skewed as real ones are: many 1s, a tail, three in ten not found."""
    ranks = random.geometric(success, shape)
    return np.where((ranks > 10) | (random.random(shape) < 0.3), 0.0, 1.0 / ranks)


def exchangeable(random, shape):
    """Before and after with the same law within each query: seven in ten agree, the rest swap sides at random."""
    one, other = reciprocal_ranks(random, shape), reciprocal_ranks(random, shape, 0.3)
    other = np.where(random.random(shape) < 0.7, one, other)
    swap = random.random(shape) < 0.5
    return np.where(swap, other, one), np.where(swap, one, other)


def binomial_slack(rate, trials):
    return SIGMAS * np.sqrt(rate * (1 - rate) / trials)


@pytest.mark.parametrize("test", [paired_t, sign_flip], ids=lambda test: test.__name__)
def test_p_values_are_uniform_when_nothing_changed(test):
    random = np.random.default_rng(1)
    base = random.normal(size=(60, 1500))
    before, after = (base + 0.3 * random.normal(size=base.shape) for _ in range(2))
    p = test(before, after, SignFlips(permutations=4000))
    assert stats.kstest(p, "uniform").statistic < KOLMOGOROV / np.sqrt(1500)


def test_an_unpaired_test_of_the_same_data_is_not_uniform():
    random = np.random.default_rng(1)
    base = random.normal(size=(60, 1500))
    before, after = (base + 0.3 * random.normal(size=base.shape) for _ in range(2))
    p = stats.ttest_ind(after, before, axis=0).pvalue
    assert stats.kstest(p, "uniform").statistic > 2 * KOLMOGOROV / np.sqrt(1500)


@pytest.mark.parametrize("name", ["paired_t", "sign_flip", "wilcoxon"])
@pytest.mark.parametrize("level", [0.01, 0.05, 0.2])
def test_reciprocal_ranks_are_called_different_no_more_often_than_stated(name, level):
    before, after = exchangeable(np.random.default_rng(2), (250, 1500))
    p = PAIRED_TESTS[name](before, after, SignFlips(permutations=2000))
    found = (p <= level).mean()
    assert abs(found - level) < binomial_slack(level, 1500) + 0.1 * level  # the last: ties make p discrete


@pytest.mark.parametrize("level", [0.01, 0.05, 0.2])
def test_mcnemar_keeps_its_level_and_is_not_idle(level):
    random = np.random.default_rng(3)
    before = (random.random((800, 2000)) < 0.6).astype(float)
    after = np.where(random.random(before.shape) < 0.7, before, random.random(before.shape) < 0.6).astype(float)
    # both sides have rate .6: gained and lost are equally likely
    found = (mcnemar(before, after) <= level).mean()
    assert found < level + binomial_slack(level, 2000)
    assert found > 0.5 * level


def test_every_paired_test_finds_a_real_change():
    random = np.random.default_rng(4)
    before = (random.random((500, 20)) < 0.5).astype(float)
    after = np.where(random.random(before.shape) < 0.15, 1.0, before)
    for test in (paired_t, sign_flip, mcnemar, wilcoxon):
        assert (test(before, after, SignFlips()) < 0.001).all()


@pytest.mark.parametrize("n", range(2, 13))
def test_sign_flip_is_the_exact_enumeration_for_few_queries(n):
    random = np.random.default_rng(n)
    before, after = random.integers(0, 4, (2, n, 3)) / 3  # thirds: sums that tie only up to rounding
    change = np.round(3 * (after - before)).astype(int)
    p = sign_flip(before, after, SignFlips(permutations=4096))
    for cell in range(3):
        sums = [abs(np.dot(signs, change[:, cell])) for signs in product((1, -1), repeat=n)]
        assert p[cell] == np.mean(np.array(sums) >= abs(change[:, cell].sum()))


def test_sign_flip_agrees_with_scipy_on_an_example():
    random = np.random.default_rng(5)
    before, after = random.normal(size=(2, 9))
    theirs = stats.permutation_test(
        (after, before), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
    )
    ours = sign_flip(before[:, None], after[:, None])[0]
    assert ours == pytest.approx(theirs.pvalue, rel=1e-12)


def test_drawn_flips_agree_with_all_flips():
    random = np.random.default_rng(6)
    before, after = random.normal(size=(2, 15, 40))
    after = after + 0.4
    exact = sign_flip(before, after, SignFlips(permutations=2**15))
    drawn = sign_flip(before, after, SignFlips(permutations=9999, seed=7))
    assert (np.abs(drawn - exact) < SIGMAS * np.sqrt(exact / 10_000) + 1e-4).all()
    assert not (drawn == exact).all()


def test_the_smallest_drawn_p_value_is_one_in_m_plus_one():
    before, after = np.zeros((200, 1)), np.ones((200, 1)) + np.arange(200)[:, None] / 200
    assert sign_flip(before, after, SignFlips(permutations=999)) == [1 / 1000]


def test_the_draw_does_not_depend_on_how_it_is_cut_into_blocks(monkeypatch):
    random = np.random.default_rng(8)
    before, after = random.normal(size=(2, 70, 4))
    whole = sign_flip(before, after, SignFlips(permutations=500))
    monkeypatch.setattr(flips, "BLOCK", 333)
    assert (sign_flip(before, after, SignFlips(permutations=500)) == whole).all()


def test_queries_that_did_not_change_or_were_not_measured_leave_sign_flip_as_it_is():
    random = np.random.default_rng(9)
    before, after = random.normal(size=(2, 40, 3))
    more_before = np.vstack([before, np.full((5, 3), 0.3), np.full((5, 3), np.nan)])
    more_after = np.vstack([after, np.full((5, 3), 0.1 + 0.2), np.full((5, 3), 1.0)])
    assert (sign_flip(more_before, more_after) == sign_flip(before, after)).all()


def test_paired_t_and_wilcoxon_agree_with_scipy_cell_by_cell():
    random = np.random.default_rng(10)
    before, after = reciprocal_ranks(random, (2, 120, 5))
    after[:30, 2] = np.nan
    for cell in range(5):
        b, a = before[:, cell], after[:, cell]
        b, a = b[~np.isnan(a)], a[~np.isnan(a)]
        assert paired_t(before, after)[cell] == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)
        assert wilcoxon(before, after)[cell] == pytest.approx(stats.wilcoxon(a - b).pvalue, rel=1e-9)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(2, 30))
@settings(max_examples=40)
def test_mcnemar_is_the_binomial_test_of_gained_against_lost(gained, lost, agreed):
    before = np.r_[np.zeros(gained), np.ones(lost), np.ones(agreed)][:, None]
    after = np.r_[np.ones(gained), np.zeros(lost), np.ones(agreed)][:, None]
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(before, after)[0] == pytest.approx(expected, rel=1e-9)


def test_the_published_test_misses_what_pairing_shows():
    """6,515 queries, 413 gained and 297 lost: p = .038 unpaired, 1.5e-5 by McNemar, 1.3e-5 by paired t."""
    both, neither = 2250, 6515 - 413 - 297 - 2250
    before = np.repeat([0.0, 1.0, 1.0, 0.0], [413, 297, both, neither])[:, None]
    after = np.repeat([1.0, 0.0, 1.0, 0.0], [413, 297, both, neither])[:, None]
    assert stats.ttest_ind(after[:, 0], before[:, 0]).pvalue == pytest.approx(0.038, abs=5e-4)
    assert mcnemar(before, after)[0] == pytest.approx(1.5e-5, abs=5e-7)
    assert paired_t(before, after)[0] == pytest.approx(1.3e-5, abs=5e-7)


@pytest.mark.parametrize("name", PAIRED_TESTS)
def test_no_difference_is_p_1_and_too_few_pairs_is_nan(name):
    before = np.array([[1.0, 0.0, np.nan], [0.0, np.nan, np.nan], [1.0, np.nan, 1.0]])
    after = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [1.0, 0.0, np.nan]])
    p = PAIRED_TESTS[name](before, after, SignFlips())
    assert p[0] == 1
    assert np.isnan(p[1:]).all()


@pytest.mark.parametrize("name", PAIRED_TESTS)
def test_p_is_never_0(name):
    before, after = np.zeros((3000, 1)), np.ones((3000, 1))
    assert PAIRED_TESTS[name](before, after, SignFlips())[0] > 0


def test_a_constant_change_gets_the_exact_sign_flip_value():
    before = np.arange(6)[:, None] / 10
    after = before + 0.1  # equal up to rounding
    assert paired_t(before, after)[0] == 2 / 2**6
    assert sign_flip(before, after)[0] == 2 / 2**6


def test_a_difference_of_rounding_is_no_difference():
    assert paired_differences(np.array([[0.3]]), np.array([[0.1 + 0.2]]))[0, 0] == 0
    assert paired_differences(np.array([[0.3]]), np.array([[0.3 + 1e-12]]))[0, 0] > 0


@given(st.randoms(use_true_random=False), st.sampled_from(sorted(PAIRED_TESTS)))
@settings(max_examples=20)
def test_the_order_of_cells_and_the_direction_do_not_matter(shuffler, name):
    random = np.random.default_rng(11)
    before, after = (random.random((2, 30, 6)) < 0.5).astype(float)
    order = list(range(6))
    shuffler.shuffle(order)
    p = PAIRED_TESTS[name](before, after, SignFlips(permutations=500))
    again = PAIRED_TESTS[name](after[:, order], before[:, order], SignFlips(permutations=500))
    assert again == pytest.approx(p[order], rel=1e-12)


def test_mcnemar_refuses_values_between_0_and_1():
    with pytest.raises(
        AnalysisError,
        match=r"needs scores that are all 0 or 1, but some scores have other values\n  fix: use test='paired_t'",
    ):
        mcnemar(np.array([[0.5], [1.0]]), np.array([[1.0], [1.0]]))


def test_no_flips_at_all_is_an_error():
    with pytest.raises(SettingsError, match=r"permutations is 0, which is out of range\n  fix: give at least 1"):
        SignFlips(permutations=0)


def test_the_published_test_misses_what_mcnemar_finds():
    """Conventions, defect 8: 6,515 queries, 413 gained against 297 lost."""
    before, after = np.zeros((6515, 1)), np.zeros((6515, 1))
    before[:297], after[297:710] = 1, 1
    before[710:3900], after[710:3900] = 1, 1
    assert unpaired_t(before, after)[0] == pytest.approx(stats.ttest_ind(before[:, 0], after[:, 0]).pvalue)
    assert unpaired_t(before, after)[0] > 0.03
    assert mcnemar(before, after)[0] < 1e-4


def test_unpaired_t_leaves_out_queries_that_lack_a_side():
    before = np.array([[0.0], [1.0], [0.5], [np.nan]])
    after = np.array([[1.0], [0.5], [np.nan], [0.3]])
    expected = stats.ttest_ind([0.0, 1.0], [1.0, 0.5]).pvalue
    assert unpaired_t(before, after)[0] == pytest.approx(expected)


def test_unpaired_t_of_all_right_against_all_wrong_is_significant():
    """Neither side varies, so t is infinite: scipy says p = 0, and the cell was reported with p = 1."""
    right, wrong = np.ones((5, 1)), np.zeros((5, 1))
    assert 0 < unpaired_t(right, wrong)[0] < 1e-300
    assert unpaired_t(right, right)[0] == 1


def test_unpaired_t_is_quiet_where_one_side_does_not_vary():
    before = np.ones((50, 1))
    after = np.r_[np.ones((40, 1)), np.zeros((10, 1))]
    nearly = [1.0, 1 - 1e-9] * 25  # scipy gives the same t for it, without its warning
    assert unpaired_t(before, after)[0] == pytest.approx(stats.ttest_ind(after[:, 0], nearly).pvalue, rel=1e-3)
