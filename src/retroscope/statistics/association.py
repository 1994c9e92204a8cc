"""Test whether two yes-or-no outcomes are associated, overall and within strata. Odds ratios of 2 x 2 tables.

Items of one cluster (e.g. facts of one relation) are not independent. The standard error of the log odds ratio is
therefore that of the jackknife, which leaves out each cluster once (Efron and Stein 1981). The interval is Student's.
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
        value: the odds ratio, or NaN if the 2 x 2 tables do not determine one.
        low, high: the ends of its interval, or NaN if the tables do not determine one.
        p: p-value of the test that the odds ratio is 1, or NaN without an interval.
        n: how many items the tables count.
        strata: how many tables the ratio is estimated from, one for each stratum.
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
    """Return the odds ratio of two yes-or-no outcomes of the same items, with its interval and p-value.

    0.5 is added to every count of the 2 x 2 table. The ratio is NaN if "yes" or "no" occurs fewer than `FEWEST` times
    in an outcome. There is no interval if a cell of the 2 x 2 table has fewer than `FEWEST_IN_CELL` items: an empty
    cell stays 0.5 whichever cluster is left out, so the jackknife's standard error would be far too small.

    Args:
        first, second: the two outcomes of each item.
        clusters: index of the cluster of each item.
        level: confidence level of the interval.
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
    """Return one odds ratio of two yes-or-no outcomes that is common to all strata (Mantel and Haenszel 1959).

    A stratum in which one outcome has the same value for all items has no information and is left out. The ratio is NaN
    if no stratum is left. It is also NaN if the estimate is 0 or infinite, with all clusters or without one of them.
    """
    counts = _counts(first, second, strata, clusters)
    varying = _varies(counts.sum(0))
    varying_counts = counts[:, varying]
    n = int(varying_counts.sum())
    if not varying.any():
        return _none(n, 0)
    return _with_interval(varying_counts, _log_common_odds, n, int(varying.sum()), level)


def _counts(first: np.ndarray, second: np.ndarray, strata: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Count the items by cluster, stratum, first and second outcome; on the last two axes, "yes" is index 0."""
    _, stratum = np.unique(strata, return_inverse=True)
    _, cluster = np.unique(clusters, return_inverse=True)
    counts = np.zeros((cluster.max(initial=-1) + 1, stratum.max(initial=-1) + 1, 2, 2))
    np.add.at(counts, (cluster, stratum, (~first).astype(int), (~second).astype(int)), 1)
    return counts


def _varies(tables: Float[np.ndarray, "stratum 2 2"], fewest: int = 1) -> Bool[np.ndarray, "stratum"]:
    """Return, for each stratum, whether "yes" and "no" each occur at least `fewest` times in both outcomes."""
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
    """Divide values at their quantiles into `parts` groups, and return the index of each value's group.

    Equal values are in one group. There may be fewer groups than `parts`.
    """
    edges = np.unique(np.quantile(values, np.arange(1, parts) / parts))
    return np.searchsorted(edges, values, side="left")
