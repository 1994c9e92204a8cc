"""Shares with their intervals."""

import numpy as np
import pytest

from retroscope.statistics.ratio import by_text, ratio_of_means


def test_a_share_covers_the_truth_at_its_rate() -> None:
    """A place that makes 40 % of a whole effect, 80 queries: 1,000 studies cover it in .95, within .02 (3 errors)."""
    rng = np.random.default_rng(0)
    covered, plain = [], []
    for _ in range(1000):
        whole = rng.normal(0.2, 0.5, 80)
        place = 0.4 * whole + rng.normal(0, 0.2, 80)
        found = ratio_of_means(place, whole)
        if np.isfinite(found.value):
            covered.append(found.low <= 0.4 <= found.high)
            naive = 1.96 * place.std(ddof=1) / np.sqrt(80) / whole.mean()
            plain.append(abs(found.value - 0.4) < naive)
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
    found = ratio_of_means(by_text(place[texts], texts), by_text(whole[texts], texts))
    assert (found.value, found.low, found.high) == pytest.approx((once.value, once.low, once.high))
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
