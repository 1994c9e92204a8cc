"""Rules for integrals from 0 to 1: the nodes (scale factors) at which the network is run, and their weights."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from retroscope.errors import SettingsError, unknown_name

FIRST_GAUSS = 4  # of "auto"; doubled until the completeness gap is small enough
LAST_GAUSS = 512  # Gemma 2 norms what the FFN gives, so that nearly all of F's change lies below alpha = 0.01
MOST_NODES = 1000


@dataclass(frozen=True, eq=False)
class Rule:
    """Quadrature rule: sum_k weights[k] f(nodes[k]) approximates the integral of f from 0 to 1."""

    name: str
    nodes: Float[np.ndarray, "node"]
    weights: Float[np.ndarray, "node"]


@dataclass(frozen=True)
class Quadrature:
    """One quadrature rule, or several that are tried in order until the completeness gap is at most `tolerance`.

    If the gap is still larger with the last rule, the values of that rule are used. Every result records its gap.
    """

    name: str
    rules: tuple[Rule, ...]
    tolerance: float | None = None


def published(n: int) -> Rule:
    """Return the rule of arXiv 2505.07166: `linspace(1e-6, 1, n)`, each node with weight 1 / n.

    Both ends weigh as much as an inner node, so the rule is exact only for constant functions.
    """
    return Rule(f"ielab-{n}", np.linspace(1e-6, 1.0, n), np.full(n, 1 / n))


def trapezoid(n: int) -> Rule:
    """Return the trapezoidal rule with `n` nodes, of which two are the ends 0 and 1."""
    if n < 2:
        raise SettingsError(f"quadrature 'trapezoid:{n}' has too few nodes", fix="use at least two, e.g. trapezoid:16")
    weights = np.full(n, 1 / (n - 1))
    weights[[0, -1]] /= 2
    return Rule(f"trapezoid:{n}", np.linspace(0.0, 1.0, n), weights)


def midpoint(n: int) -> Rule:
    """Return the midpoint rule on `n` equal intervals."""
    return Rule(f"midpoint:{n}", (np.arange(n) + 0.5) / n, np.full(n, 1 / n))


def gauss(n: int) -> Rule:
    """Return the Gauss-Legendre rule with `n` nodes, which is exact for polynomials up to degree 2n - 1."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return Rule(f"gauss:{n}", (nodes + 1) / 2, weights / 2)


RULES: dict[str, Callable[[int], Rule]] = {"trapezoid": trapezoid, "midpoint": midpoint, "gauss": gauss}
KNOWN = ("ielab-20", *(f"{name}:N" for name in RULES), "auto:TOLERANCE", "auto:TOLERANCE:MOST")


def quadrature(name: str) -> Quadrature:
    """Return the quadrature named `ielab-20`, `trapezoid:n`, `midpoint:n`, `gauss:n` or `auto:TOL[:MOST]`.

    `auto` starts with 4 Gauss nodes and doubles them until the gap is below TOL, up to MOST nodes (512 by default).

    Raises:
        SettingsError: if there is no such rule, or its number of nodes or its tolerance is invalid or out of range.
    """
    if name == "ielab-20":
        return Quadrature(name, (published(20),))
    kind, _, argument = name.partition(":")
    if kind == "auto":
        tolerance, _, most = argument.partition(":")
        limit = _number(name, most, "auto:0.01") if most else LAST_GAUSS
        if limit < FIRST_GAUSS:
            raise SettingsError(
                f"quadrature {name!r} allows {limit} nodes, fewer than the {FIRST_GAUSS} nodes of its first step",
                fix="allow more nodes, e.g. auto:0.01:64",
            )
        sizes = [FIRST_GAUSS * 2**k for k in range(10) if FIRST_GAUSS * 2**k <= limit]
        return Quadrature(name, tuple(gauss(n) for n in sizes), _tolerance(name, tolerance))
    if kind not in RULES:
        raise unknown_name("quadrature", name, KNOWN)
    return Quadrature(name, (RULES[kind](_number(name, argument)),))


def only_rule(quadrature: Quadrature, method: str) -> Rule:
    """Return the rule of a quadrature that has only one, as methods without a completeness gap require.

    Raises:
        SettingsError: if the quadrature is `auto`, which chooses among several rules by the completeness gap.
    """
    if quadrature.tolerance is not None:
        raise SettingsError(
            f"quadrature {quadrature.name!r} adds nodes until the completeness gap is small enough, but the method "
            f"{method!r} has no completeness gap",
            fix="use a quadrature with a fixed number of nodes, e.g. gauss:16",
        )
    return quadrature.rules[0]


def _number(name: str, argument: str, kind: str = "") -> int:
    if not argument.isdecimal() or len(argument) > 9 or not 1 <= int(argument) <= MOST_NODES:
        kind = kind or name.partition(":")[0]
        raise SettingsError(
            f"quadrature {name!r} needs a number of nodes from 1 to {MOST_NODES}", fix=f"write e.g. {kind}:4"
        )
    return int(argument)


def _tolerance(name: str, argument: str) -> float:
    try:
        tolerance = float(argument)
    except ValueError:
        tolerance = 0.0
    if not 0 < tolerance < 1:
        raise SettingsError(f"quadrature {name!r} needs a tolerance between 0 and 1", fix="write e.g. auto:0.001")
    return tolerance
