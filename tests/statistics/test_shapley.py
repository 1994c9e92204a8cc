"""Shapley values add up; single effects do not."""

from math import comb

import numpy as np
import pytest

from retroscope.statistics.shapley import pair_interactions, shapley_values, subsets

PLAYERS = ["a", "b", "c", "d"]


def test_values_sum_to_the_whole_effect_query_by_query() -> None:
    rng = np.random.default_rng(0)
    values = {some: rng.normal(size=(7, 2)) for some in subsets(PLAYERS)}
    shapley = shapley_values(PLAYERS, values)
    assert sum(shapley.values()) == pytest.approx(values[frozenset(PLAYERS)] - values[frozenset()])


def test_a_glove_game_worked_out_by_hand() -> None:
    """a has the left glove, b and c a right one each: 2/3, 1/6, 1/6 (Shapley and Shubik 1969); d has none."""
    values = {some: np.array([float("a" in some and bool(some & {"b", "c"}))]) for some in subsets(PLAYERS)}
    by_name = {name: float(value[0]) for name, value in shapley_values(PLAYERS, values).items()}
    assert by_name == pytest.approx({"a": 2 / 3, "b": 1 / 6, "c": 1 / 6, "d": 0})
    alone = sum(values[frozenset({player})][0] for player in PLAYERS)
    assert alone == 0, "the control: what each does alone does not add up to 1"


def test_a_planted_pair_interacts_and_no_other_does() -> None:
    """Either of a and b does all of it, both no more: -1 for that pair, 0 for all others."""
    values = {some: np.array([float(bool(some & {"a", "b"})) + 0.5 * ("c" in some)]) for some in subsets(PLAYERS)}
    by_name = {pair: float(value[0]) for pair, value in pair_interactions(PLAYERS, values).items()}
    assert len(by_name) == comb(4, 2)
    assert by_name.pop(("a", "b")) == -1
    assert set(by_name.values()) == {0.0}
    shares = shapley_values(PLAYERS, values)
    assert float(shares["a"][0]) == pytest.approx(float(shares["b"][0])) == pytest.approx(0.5)
