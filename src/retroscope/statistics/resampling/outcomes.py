"""Score intervals for means of outcomes of 0 or 1 (probe accuracy, success@k), and for their change.

A bootstrap interval of a rare outcome is too narrow, because most resamples lack the few queries with that outcome. A
score interval holds the values that a score test does not reject. Its variance is computed at the value under test and
is therefore never 0. The interval of a share is Wilson's (1927), the interval of a change is Tango's (1998).
docs/methods/statistics.md has the measured coverage.

Queries with one text count as fewer independent outcomes: the number of queries is divided by the design effect, i.e.
the variance of the mean over texts, divided by the variance of the mean over queries (Rao and Scott 1992). If queries
share passages, the quantile is multiplied by the factor that widens bootstrap intervals (`resampling.shared_passages`).
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats
from scipy.optimize.elementwise import find_root

from retroscope.statistics.resampling.clusters import Cells, Clusters, Table, independent
from retroscope.statistics.resampling.intervals import DEFAULT, Interval, IntervalSettings, bootstrap_mean
from retroscope.statistics.resampling.shared_passages import sharing

ROUNDING = 1e-9  # by which a share may miss 0 or 1, and the mean of a text's outcomes that of all


def outcome_mean(values: Table, settings: IntervalSettings = DEFAULT, clusters: Clusters | None = None) -> Interval:
    """Return the mean over queries of every cell (combination of labels), with a score or a bootstrap interval.

    A cell whose scores are all 0 or 1 gets Wilson's score interval (1927). If, in such a cell, all texts have the same
    mean, the interval is the exact binomial interval around this mean. The other cells get the interval of
    `bootstrap_mean`. NaN marks a query that was not measured.
    """
    outcomes = outcome_cells(values)
    shared_texts = clusters or independent(len(values))
    plain = _bootstrap_elsewhere(values, outcomes, settings, shared_texts)
    share = plain.mean[outcomes]
    ends = _wilson(share, *_size_and_quantile(values[:, outcomes], settings.level, shared_texts))
    return _widened_if_constant(_with_ends(plain, outcomes, ends), values, (0.0, 1.0), outcomes, shared_texts)


def outcome_change(
    before: Table,
    after: Table,
    change: Table,
    settings: IntervalSettings = DEFAULT,
    clusters: Clusters | None = None,
) -> Interval:
    """Return the mean change over queries of every cell (combination of labels), with a score or a bootstrap interval.

    A cell whose scores before and after are all 0 or 1 gets Tango's score interval (1998, eq. 9) for paired outcomes.
    If, in such a cell, the mean change of all texts is the same, the interval is the exact binomial interval around
    this mean. The other cells get the interval of `bootstrap_mean`. NaN marks a query that was not measured.

    Args:
        change: after minus before, NaN if either is missing.
    """
    outcomes = outcome_cells(before, after)
    shared_texts = clusters or independent(len(change))
    plain = _bootstrap_elsewhere(change, outcomes, settings, shared_texts)
    cells = change[:, outcomes]
    gained, lost = ((cells == sign).sum(axis=0) / np.maximum(plain.n[outcomes], 1) for sign in (1, -1))
    size, quantile = _size_and_quantile(cells, settings.level, shared_texts)
    ends = (-_tango_end(lost, gained, size, quantile), _tango_end(gained, lost, size, quantile))
    return _widened_if_constant(_with_ends(plain, outcomes, ends), change, (-1.0, 1.0), outcomes, shared_texts)


def holding_zero(interval: Interval, cells: Bool[np.ndarray, "cell"]) -> Interval:
    """Extend the intervals of the given cells so that they include 0.

    They are the cells in which an exact test does not reject "no change". A score interval may exclude 0 there, because
    the exact test is more cautious.
    """
    low, high = np.minimum(interval.low, 0.0), np.maximum(interval.high, 0.0)
    return replace(interval, low=np.where(cells, low, interval.low), high=np.where(cells, high, interval.high))


def outcome_cells(*tables: Table) -> Bool[np.ndarray, "cell"]:
    """Return, for each column, whether its values in all tables are 0 or 1. NaN marks a query that was not measured.

    The result is False for all columns if any value lies outside 0 to 1, because the scores are then not outcomes of 0
    or 1. For example, the effect of a head on the margin may be any number, but is 0 for all queries if the head has no
    weights.
    """
    bounded = all(bool(((table >= -ROUNDING) & (table <= 1 + ROUNDING) | np.isnan(table)).all()) for table in tables)
    zero_or_one = [((table == 0) | (table == 1) | np.isnan(table)).all(axis=0) for table in tables]
    return np.asarray(np.logical_and.reduce(zero_or_one) & bounded)


def unseen(n: Int[np.ndarray, "cell"] | int, level: float) -> Float[np.ndarray, "cell"]:
    """Return the upper confidence limit of the rate of an event that did not occur in n observations.

    It is 1 - (alpha / 2)^(1/n), the upper end of the exact binomial interval for 0 of n (Clopper and Pearson 1934),
    with alpha = 1 - level.
    """
    return np.asarray(1 - ((1 - level) / 2) ** (1 / np.asarray(n)))


def _bootstrap_elsewhere(
    values: Table, outcomes: Bool[np.ndarray, "cell"], settings: IntervalSettings, clusters: Clusters
) -> Interval:
    """Return the means of all columns (cells), with bootstrap intervals for those outside the mask `outcomes`.

    The ends of the other intervals are NaN.
    """
    measured = np.isfinite(values)
    n = measured.sum(axis=0)
    mean = np.where(n > 0, np.where(measured, values, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan)
    ends = np.full(len(n), np.nan)
    whole = Interval(mean=mean, low=ends, high=ends, level=settings.level, n=n)
    if outcomes.all():
        return whole
    bootstrapped = bootstrap_mean(values[:, ~outcomes], settings, clusters)
    return _with_ends(whole, ~outcomes, (bootstrapped.low, bootstrapped.high))


def _with_ends(interval: Interval, cells: Bool[np.ndarray, "cell"], ends: tuple[Cells, Cells]) -> Interval:
    low, high = interval.low.copy(), interval.high.copy()
    low[cells], high[cells] = ends
    return replace(interval, low=low, high=high)


def _size_and_quantile(values: Table, level: float, clusters: Clusters) -> tuple[Cells, Cells]:
    """Return each column's effective number of independent outcomes, and the quantile for its interval.

    The effective number is n divided by the design effect, and never above n. It is NaN for fewer than two texts. If
    texts repeat, the quantile is Student's with (number of texts - 1) degrees of freedom, because the design effect is
    estimated from the texts.
    """
    n, texts = np.isfinite(values).sum(axis=0), (clusters.sizes(values) > 0).sum(axis=0)
    size, quantile = n.astype(np.float64), np.full(len(n), stats.norm.ppf((1 + level) / 2))
    repeats = (texts < n) & (texts >= 2)
    if repeats.any():
        centred = values - np.nansum(values, axis=0) / np.maximum(n, 1)
        by_query = np.nansum(centred**2, axis=0) * n / np.maximum(n - 1, 1)
        by_text = (clusters.sums(centred) ** 2).sum(axis=0) * texts / np.maximum(texts - 1, 1)
        effect = np.maximum(by_text / np.where(by_query > 0, by_query, 1.0), 1.0)
        size = np.where(repeats, n / effect, size)
        quantile = np.where(repeats, stats.t.ppf((1 + level) / 2, np.maximum(texts - 1, 1)), quantile)
    shared = sharing(values, clusters)
    widening = 1.0 if shared is None else shared.widening(level)
    return np.where(texts >= 2, size, np.nan), quantile * widening


def _wilson(share: Cells, size: Cells, quantile: Cells) -> tuple[Cells, Cells]:
    """Return the ends of Wilson's interval, i.e. all shares p with |share - p| <= quantile sqrt(p (1 - p) / size)."""
    extra = quantile**2 / size
    centre = (share + extra / 2) / (1 + extra)
    half = np.sqrt(share * (1 - share) * extra + extra**2 / 4) / (1 + extra)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def _tango_end(gained: Cells, lost: Cells, size: Cells, quantile: Cells) -> Cells:
    """Return the upper end of Tango's interval: the largest mean change that the score test does not reject.

    The test of a mean change D compares |gained - lost - D| with quantile sqrt((2 q + D (1 - D)) / size), where q is
    the most likely share of lost outcomes if gained - lost were D. The end is NaN if no outcome changed, or if all were
    gained or all were lost: the variance at the observed change is then 0.

    Args:
        gained, lost: shares of the outcomes that changed from 0 to 1, and from 1 to 0.
    """

    def excess(change: Cells, gained: Cells, lost: Cells, size: Cells, quantile: Cells) -> Cells:
        linear = (2 - gained + lost) * change - gained - lost
        likely = (np.sqrt(linear**2 + 8 * lost * change * (1 - change)) - linear) / 4
        variance = 2 * likely + change * (1 - change)
        return np.asarray((gained - lost - change) ** 2 - quantile**2 * variance / size)

    ends = np.full(len(gained), np.nan)
    varied = np.isfinite(size) & (gained + lost > 0) & (np.maximum(gained, lost) < 1)
    arguments = tuple(part[varied] for part in (gained, lost, size, quantile))
    if varied.any():
        root = find_root(excess, (arguments[0] - arguments[1], np.ones(int(varied.sum()))), args=arguments)
        ends[varied] = root.x
    return ends


def _widened_if_constant(
    interval: Interval,
    values: Table,
    bounds: tuple[float, float],
    outcomes: Bool[np.ndarray, "cell"],
    clusters: Clusters,
) -> Interval:
    """Replace the interval of every cell in which all texts have the same mean, so that their variance is 0.

    The new interval allows that a share `unseen` of all texts differs, with a value at either bound. For outcomes of 0
    or 1 that are all equal, this is the exact binomial interval. Texts may also have the same mean without equal
    outcomes, e.g. if one of the two queries of every text has the outcome 1.

    Args:
        bounds: the smallest and the largest possible value.
        outcomes: mask of the cells whose scores are all 0 or 1. The other cells keep their interval.
    """
    sizes, apart = clusters.sizes(values), np.abs(clusters.sums(values - interval.mean))
    texts = (sizes > 0).sum(axis=0)
    equal = outcomes & (texts >= 2) & (apart <= ROUNDING * sizes).all(axis=0)
    share = unseen(np.maximum(texts, 1), interval.level)
    low, high = (interval.mean + share * (bound - interval.mean) for bound in bounds)
    return replace(interval, low=np.where(equal, low, interval.low), high=np.where(equal, high, interval.high))
