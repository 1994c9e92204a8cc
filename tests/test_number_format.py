import math

import pytest

from retroscope import number_format


@pytest.mark.parametrize(
    ("p", "words"), [(1e-9, "p < 0.001"), (0.0123, "p = 0.012"), (1.0, "p = 1.000"), (math.nan, "p n/a")]
)
def test_p_values_are_never_zero(p: float, words: str) -> None:
    assert number_format.p_value(p) == words


@pytest.mark.parametrize(
    ("p", "stars"), [(0.2, ""), (0.05, ""), (0.04, "*"), (0.009, "**"), (0.0009, "***"), (math.nan, "")]
)
def test_marks(p: float, stars: str) -> None:
    assert number_format.marks(p, 0.05) == stars


def test_counts_and_times() -> None:
    assert number_format.count(1, "query") == "1 query"
    assert number_format.count(2400, "query") == "2,400 queries"
    assert number_format.count(2, "layer") == "2 layers"
    assert [number_format.seconds(s) for s in (8.13, 200, 7500)] == ["8.1 s", "3 min 20 s", "2 h 5 min"]


def test_missing_numbers_are_said() -> None:
    assert number_format.score(math.nan) == number_format.signed(math.nan) == "n/a"
    assert number_format.interval(-0.1, 0.1, effect=True) == "[-0.100, +0.100]"


def test_a_score_that_rounds_to_zero_has_no_sign() -> None:
    assert number_format.interval(-0.0004, 1.0) == "[0.000, 1.000]"
    assert number_format.score(-0.0006) == "-0.001"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (0, "0 %"),
        (0.00034, "0.034 %"),
        (0.003, "0.30 %"),
        (0.0904, "9.0 %"),
        (0.0999, "10 %"),
        (1, "100 %"),
        (-0.003, "-0.30 %"),
        (-1.5, "-150 %"),
        (-0.0, "0 %"),
        (math.nan, "n/a"),
    ],
)
def test_shares_have_two_digits(part: float, said: str) -> None:
    assert number_format.percent(part) == said


@pytest.mark.parametrize("p", [1e-9, 0.0123, math.nan])
def test_a_tied_p_value_is_one_word_and_has_the_same_characters(p: float) -> None:
    tied = number_format.tied_p(p)
    assert " " not in tied
    assert tied != number_format.p_value(p)
    assert number_format.without_ties(tied) == number_format.p_value(p)


def test_chosen_fractions_have_all_digits_and_intervals_whole_per_cents() -> None:
    chosen = {0.95: "95 %", 1 - 0.05: "95 %", 0.9995: "99.95 %", 0.001: "0.1 %"}
    assert {part: number_format.exact_percent(part) for part in chosen} == chosen
    assert number_format.percent_interval(0.0904, -0.004, 0.31) == "9 % [0, 31]"
    assert number_format.percent_interval(math.nan, math.nan, math.nan) == "n/a"
    assert number_format.percent(0.12, effect=True) == "+12 %"
    assert number_format.percent(-0.12, effect=True) == "-12 %"
