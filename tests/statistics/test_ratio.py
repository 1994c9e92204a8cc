"""Shares with their intervals."""

import numpy as np
import pytest
from scipy import sparse

from retroscope.statistics.ratio import ratio_of_means
from retroscope.statistics.resampling.clusters import Clusters
from retroscope.statistics.resampling.shared_passages import sharing


def test_a_share_covers_the_truth_at_its_rate() -> None:
    """A place that makes 40 % of a whole effect, 80 queries: 1,000 studies cover it in .95, within .02 (3 errors)."""
    rng = np.random.default_rng(0)
    covered, plain = [], []
    for _ in range(1000):
        whole = rng.normal(0.2, 0.5, 80)
        place = 0.4 * whole + rng.normal(0, 0.2, 80)
        ratio = ratio_of_means(place, whole)
        if np.isfinite(ratio.value):
            covered.append(ratio.low <= 0.4 <= ratio.high)
            naive = 1.96 * place.std(ddof=1) / np.sqrt(80) / whole.mean()
            plain.append(abs(ratio.value - 0.4) < naive)
    assert len(covered) > 900
    assert np.mean(covered) == pytest.approx(0.95, abs=0.021)
    assert np.mean(plain) > 0.98, "the control: an interval that forgets that both vary together is not of its level"


def test_there_is_no_share_of_nothing() -> None:
    rng = np.random.default_rng(0)
    place, nothing = rng.normal(0.5, 0.1, 60), rng.normal(0, 1, 60)
    assert np.isnan(ratio_of_means(place, nothing - nothing.mean()).value)
    assert np.isnan(ratio_of_means(place[:1], nothing[:1]).low)
    exact = ratio_of_means(2 * (place + 1), place + 1)
    assert (exact.value, exact.low, exact.high) == pytest.approx((2, 2, 2))


def test_repeated_texts_make_a_share_no_surer() -> None:
    """Every query asked three times: value and interval stay; the control counts them as independent."""
    rng = np.random.default_rng(1)
    whole = rng.normal(0.5, 0.3, 50)
    place, texts = 0.4 * whole + rng.normal(0, 0.2, 50), np.repeat(np.arange(50), 3)
    once, naive = ratio_of_means(place, whole), ratio_of_means(place[texts], whole[texts])
    ratio = ratio_of_means(place[texts], whole[texts], clusters=Clusters(texts))
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((once.value, once.low, once.high))
    assert naive.high - naive.low < 0.7 * (once.high - once.low)


@pytest.mark.parametrize("truth", [0.0, 1.3])
def test_shares_of_nothing_and_of_more_than_all_cover(truth: float) -> None:
    """1,000 studies: coverage of 95 % has a standard error of .007."""
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(1000):
        whole = rng.standard_normal(80) + 0.8
        share = ratio_of_means(truth * whole + 0.5 * rng.standard_normal(80), whole)
        covered.append(share.low <= truth <= share.high)
    assert 0.93 < np.mean(covered) < 0.97


def hubs(rng: np.random.Generator, n: int = 200, passages: int = 40) -> Clusters:
    """Every query has three of 40 passages."""
    columns = np.argpartition(rng.random((n, passages)), 3, axis=1)[:, :3]
    pairs = (np.ones(3 * n), (np.repeat(np.arange(n), 3), columns.ravel()))
    return Clusters(np.arange(n), sparse.csr_array(pairs, shape=(n, passages)))


def test_shared_passages_make_a_share_less_sure() -> None:
    """300 studies whose passages move a place beside its share: coverage of 95 % has a standard error of .013."""
    rng = np.random.default_rng(4)
    ours, naive = [], []
    for _ in range(300):
        clusters = hubs(rng)
        whole = 1.0 + clusters.passages @ (0.2 * rng.standard_normal(40)) + 0.5 * rng.standard_normal(200)
        beside = clusters.passages @ (0.3 * rng.standard_normal(40)) + 0.3 * rng.standard_normal(200)
        for covered, what in ((ours, clusters), (naive, None)):
            ratio = ratio_of_means(0.4 * whole + beside, whole, clusters=what)
            if np.isfinite(ratio.value):
                covered.append(ratio.low <= 0.4 <= ratio.high)
    assert len(ours) > 290
    assert 0.91 < np.mean(ours) <= 0.99
    assert np.mean(naive) < 0.8, "the control: queries that share passages, counted as independent"


def test_passages_that_move_part_and_whole_alike_leave_a_share_as_sure() -> None:
    """40 % of whatever a passage does: the residual, of which the interval is made, knows no passage."""
    rng = np.random.default_rng(5)
    shares, means = [], []
    for _ in range(20):
        clusters = hubs(rng)
        whole = 2.0 + clusters.passages @ rng.standard_normal(40) + 0.1 * rng.standard_normal(200)
        place = 0.4 * whole + 0.1 * rng.standard_normal(200)
        shared, apart = ratio_of_means(place, whole, clusters=clusters), ratio_of_means(place, whole)
        if np.isfinite(shared.value):
            shares.append((shared.high - shared.low) / (apart.high - apart.low))
        means.append(sharing(whole[:, None], clusters).widening(0.95)[0])
    assert len(shares) > 10
    assert np.median(shares) < 1.2
    assert np.median(means) > 2, "the control: both means are far less sure"


def test_a_whole_that_few_passages_made_has_no_share() -> None:
    """Two passages in turn, whose effects differ: by 200 independent queries it is significant, by two passages not."""
    rng = np.random.default_rng(6)
    columns = np.arange(200) % 4
    clusters = Clusters(np.arange(200), sparse.csr_array((np.ones(200), (np.arange(200), columns)), shape=(200, 4)))
    whole = np.array([1.0, -0.5, 0.6, -0.2])[columns] + 0.1 * rng.standard_normal(200)
    assert np.isfinite(ratio_of_means(whole, whole).value)
    assert np.isnan(ratio_of_means(whole, whole, clusters=clusters).value)
