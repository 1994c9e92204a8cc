"""What agrees by luck."""

import numpy as np
import pytest
from scipy.stats import binomtest

from retroscope.statistics.testing.luck import chance_of_agreeing, chance_of_one_answer, profile_p


def test_one_of_five_instruments_agrees_by_luck_in_two_of_three_studies() -> None:
    assert chance_of_agreeing(5, 5) == pytest.approx(1 - 0.8**5)
    assert chance_of_agreeing(5, 1) == pytest.approx(0.2)
    rng = np.random.default_rng(0)
    named, answer = rng.integers(0, 5, (4000, 5)), rng.integers(0, 5, (4000, 1))
    for agreeing in (1, 2, 3):
        share = int(((named == answer).sum(axis=1) >= agreeing).sum())
        assert binomtest(share, 4000, chance_of_agreeing(5, 5, agreeing)).pvalue > 1e-3, agreeing


def test_instruments_that_name_one_place_together_agree_by_luck_as_often_as_one() -> None:
    places = ["1", "2", "3", "4", "5"]
    assert chance_of_one_answer(places, ["5"] * 5, 5) == pytest.approx(1 / 5)
    assert chance_of_agreeing(5, 5, 5) < 0.001, "taken as independent they would seem sure"
    assert chance_of_one_answer(places, ["5", "5", "1"], 1) == pytest.approx(2 / 5)
    assert chance_of_one_answer(places, ["5", "5", "1"], 0) == 1


@pytest.mark.parametrize("places", [6, 10])
def test_the_p_of_a_profile_is_uniform_under_the_null(places: int) -> None:
    """P(p <= x) <= x, and not much less: 600 pairs of unrelated profiles; .001 of the binomial on either side."""
    rng = np.random.default_rng(1)
    p = np.array([profile_p(rng.normal(size=places), rng.normal(size=places))[1] for _ in range(600)])
    for x in (0.05, 0.1, 0.25, 0.5, 0.9):
        assert binomtest(int((p <= x).sum()), 600, x, alternative="greater").pvalue > 1e-3, x
        assert binomtest(int((p <= x).sum()), 600, x - 0.01, alternative="less").pvalue > 1e-3, x
    assert p.min() > 0


def test_a_profile_that_follows_the_answer_is_no_luck() -> None:
    answer = np.array([0.1, 0.5, 0.2, 0.9, 0.4])
    rank, p = profile_p(answer**3, answer)
    assert (rank, p) == pytest.approx((1, 1 / 120))
    assert profile_p(-answer, answer)[1] == 1
    assert profile_p(np.ones(5), answer)[1] == 1, "an instrument that sees no difference agrees with anything"
