"""Test whether two yes-or-no outcomes are associated, overall and within strata. Odds ratios of 2 x 2 tables.

Items that belong together (facts of one relation) are not independent, so the standard error of the logarithm is that
of the jackknife over clusters, each left out once (Efron and Stein 1981), and the interval is Student's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import t as student

LogRatio = Callable[[np.ndarray], np.ndarray]
FEWEST = 5  # items with each value of an outcome, in the one table; with fewer there is no ratio
FEWEST_IN_CELL = 5  # items in each cell of the one table; with fewer its ratio has no interval
CORRECTION = 0.5  # added to every cell of the one table (Haldane 1956, Anscombe 1956)


@dataclass(frozen=True)
class OddsRatio:
    """An odds ratio with its interval and p-value.

    Attributes:
        value: the ratio, or NaN if the tables do not allow one.
        low, high: its interval, or NaN if the tables do not allow one.
        p: p of the test that the ratio is 1, or NaN without an interval.
        n: number of items.
        strata: number of tables that it is estimated from.
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    strata: int


def odds_ratio(
    first: Bool[np.ndarray, "item"],
    second: Bool[np.ndarray, "item"],
    clusters: Int[np.ndarray, "item"],
    level: float = 0.95,
) -> OddsRatio:
    """Return the odds ratio of two outcomes of the same items. 0.5 is added to every count.

    The ratio is NaN if a value of an outcome occurs fewer than `FEWEST` times. There is no interval if a cell of the
    table has fewer than `FEWEST_IN_CELL` items: an empty cell stays 0.5 whichever cluster is left out, so the
    jackknife's standard error would be far too small.

    Args:
        clusters: number of each item's cluster.
    """
    counts = _counts(first, second, np.zeros(len(first), dtype=int), clusters)
    if not _varies(counts.sum(0), FEWEST).all():
        return _none(len(first), 1)
    ratio = _with_interval(counts, lambda tables: _log_odds(tables[..., 0, :, :]), len(first), 1, level)
    if (counts.sum((0, 1)) < FEWEST_IN_CELL).any():
        return replace(ratio, low=math.nan, high=math.nan, p=math.nan)
    return ratio


def mantel_haenszel(
    first: Bool[np.ndarray, "item"],
    second: Bool[np.ndarray, "item"],
    strata: Int[np.ndarray, "item"],
    clusters: Int[np.ndarray, "item"],
    level: float = 0.95,
) -> OddsRatio:
    """Return the common odds ratio within strata (Mantel and Haenszel 1959).

    Strata in which an outcome does not vary carry no information and are left out. The ratio is NaN if no stratum is
    left, or if it is 0 or infinite, with all clusters or without any one of them.
    """
    counts = _counts(first, second, strata, clusters)
    telling = _varies(counts.sum(0))
    kept = counts[:, telling]
    n = int(kept.sum())
    if not telling.any():
        return _none(n, 0)
    return _with_interval(kept, _log_common_odds, n, int(telling.sum()), level)


def _counts(first: np.ndarray, second: np.ndarray, strata: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Count the items, [cluster, stratum, first, second]. "yes" is first."""
    _, stratum = np.unique(strata, return_inverse=True)
    _, cluster = np.unique(clusters, return_inverse=True)
    counts = np.zeros((cluster.max(initial=-1) + 1, stratum.max(initial=-1) + 1, 2, 2))
    np.add.at(counts, (cluster, stratum, (~first).astype(int), (~second).astype(int)), 1)
    return counts


def _varies(tables: Float[np.ndarray, "stratum 2 2"], fewest: int = 1) -> Bool[np.ndarray, "stratum"]:
    """Return, for each stratum, whether both outcomes take both values at least `fewest` times."""
    varies: np.ndarray = (tables.sum(1) >= fewest).all(-1) & (tables.sum(2) >= fewest).all(-1)
    return varies


def _log_odds(table: Float[np.ndarray, "*any 2 2"]) -> Float[np.ndarray, "*any"]:
    t = np.log(table + CORRECTION)
    difference: np.ndarray = t[..., 0, 0] + t[..., 1, 1] - t[..., 0, 1] - t[..., 1, 0]
    return difference


def _log_common_odds(tables: Float[np.ndarray, "*any stratum 2 2"]) -> Float[np.ndarray, "*any"]:
    n = np.maximum(tables.sum((-1, -2)), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = ((tables[..., 0, 0] * tables[..., 1, 1]) / n).sum(-1) / (
            (tables[..., 0, 1] * tables[..., 1, 0]) / n
        ).sum(-1)
        logarithm: np.ndarray = np.log(ratio)
    return logarithm


def _with_interval(counts: np.ndarray, log_ratio: LogRatio, n: int, strata: int, level: float) -> OddsRatio:
    whole = counts.sum(0)
    value, without = float(log_ratio(whole)), log_ratio(whole - counts)
    size = len(counts)
    if size < 2 or not np.isfinite([value, *without]).all():
        return _none(n, strata)
    error = math.sqrt((size - 1) / size * float(((without - without.mean()) ** 2).sum()))
    half = float(student.ppf((1 + level) / 2, size - 1)) * error
    p = float(2 * student.sf(abs(value) / error, size - 1)) if error else float(value == 0)
    return OddsRatio(math.exp(value), math.exp(value - half), math.exp(value + half), p, n, strata)


def _none(n: int, strata: int) -> OddsRatio:
    return OddsRatio(math.nan, math.nan, math.nan, math.nan, n, strata)


def by_quantile(values: Float[np.ndarray, "item"], parts: int) -> Int[np.ndarray, "item"]:
    """Divide values at their quantiles and return the part of each value. Equal values are in one part."""
    edges = np.unique(np.quantile(values, np.arange(1, parts) / parts))
    return np.searchsorted(edges, values, side="left")
