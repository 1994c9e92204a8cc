"""Rules of integration: what they are exact for, and what they are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retroscope.attribution.integrals.quadrature import RULES, Rule, gauss, midpoint, only_rule, quadrature, trapezoid
from retroscope.attribution.settings import AttributionSettings
from retroscope.errors import SettingsError

EPS = float(np.finfo(np.float64).eps)


def rule(name: str) -> Rule:
    (one,) = quadrature(name).rules
    return one


def error(of: Rule, degree: int) -> float:
    """|rule - integral| of x^degree on [0, 1]; the sum of n products is exact to about n roundings."""
    return abs(float(of.weights @ of.nodes**degree) - 1 / (degree + 1))


@given(kind=st.sampled_from(sorted(RULES)), n=st.integers(2, 300))
def test_weights_sum_to_one_and_nodes_ascend_within_the_path(kind: str, n: int) -> None:
    quadrature_rule = rule(f"{kind}:{n}")
    assert abs(quadrature_rule.weights.sum() - 1) <= 10 * n * EPS
    assert (np.diff(quadrature_rule.nodes) > 0).all()
    assert quadrature_rule.nodes[0] >= 0
    assert quadrature_rule.nodes[-1] <= 1
    assert len(quadrature_rule.nodes) == len(quadrature_rule.weights) == n


@given(n=st.integers(1, 20))
def test_gauss_is_exact_to_its_degree_and_no_further(n: int) -> None:
    for degree in range(2 * n):
        assert error(gauss(n), degree) <= 100 * n * EPS
    if n <= 8:  # beyond, the error of the next degree is itself below rounding
        assert error(gauss(n), 2 * n) > 1e-10


@given(n=st.integers(2, 50))
def test_midpoint_and_trapezoid_are_exact_for_lines_and_err_on_opposite_sides_of_a_parabola(n: int) -> None:
    for made in (midpoint(n), trapezoid(n)):
        assert error(made, 0) <= 10 * n * EPS
        assert error(made, 1) <= 10 * n * EPS
    low, high = midpoint(n), trapezoid(n)
    assert low.weights @ low.nodes**2 < 1 / 3 < high.weights @ high.nodes**2


def test_the_published_rule() -> None:
    quadrature_rule = rule("ielab-20")
    assert (quadrature_rule.nodes == np.linspace(1e-6, 1, 20)).all()
    assert (quadrature_rule.weights == 1 / 20).all()
    assert error(quadrature_rule, 0) <= 20 * EPS
    assert error(quadrature_rule, 2) > 8e-3  # both ends weigh too much: (2n - 1) / (6 (n - 1)) - 1/3 = .0088


def test_auto_doubles_gauss_nodes() -> None:
    made = quadrature("auto:0.001")
    assert [len(r.nodes) for r in made.rules] == [4, 8, 16, 32, 64, 128, 256, 512]
    assert made.tolerance == 0.001
    assert all((r.nodes == gauss(len(r.nodes)).nodes).all() for r in made.rules)
    assert [len(r.nodes) for r in quadrature("auto:0.01:64").rules] == [4, 8, 16, 32, 64]


def test_each_method_has_a_quadrature_unless_another_is_asked_for() -> None:
    assert AttributionSettings().rule == "auto:0.01:64"
    assert AttributionSettings(method="conductance").rule == "gauss:4"
    assert AttributionSettings(quadrature="ielab-20").rule == "ielab-20"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gaus:4", r"unknown quadrature 'gaus:4'(.|\n)*did you mean 'gauss:N'"),
        ("ielab-21", r"unknown quadrature 'ielab-21'(.|\n)*did you mean 'ielab-20'"),
        ("gauss", r"'gauss' needs a number of nodes from 1 to 1000(.|\n)*gauss:4"),
        ("gauss:0", "needs a number of nodes from 1 to 1000"),
        ("gauss:-3", "needs a number of nodes from 1 to 1000"),
        ("midpoint:2.5", "needs a number of nodes from 1 to 1000"),
        ("gauss:1001", "needs a number of nodes from 1 to 1000"),
        ("trapezoid:1", "too few nodes"),
        ("auto", r"'auto' needs a tolerance between 0 and 1(.|\n)*auto:0.001"),
        ("auto:0", "needs a tolerance between 0 and 1"),
        ("auto:1", "needs a tolerance between 0 and 1"),
        ("auto:nan", "needs a tolerance between 0 and 1"),
        ("auto:much", "needs a tolerance between 0 and 1"),
        ("auto:0.1:x", r"needs a number of nodes from 1 to 1000(.|\n)*auto:0.01:4"),
        ("auto:0.1:2", "allows 2 nodes, fewer than the 4 nodes"),
    ],
)
def test_a_wrong_name_is_an_error_that_shows_a_right_one(name: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        quadrature(name)


def test_a_method_without_completeness_takes_one_rule() -> None:
    assert len(only_rule(quadrature("gauss:3"), "conductance").nodes) == 3
    with pytest.raises(SettingsError, match=r"method 'conductance' has no completeness gap(.|\n)*gauss:16"):
        only_rule(quadrature("auto:0.01"), "conductance")
