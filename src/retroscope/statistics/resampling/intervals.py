"""Bootstrap intervals of means over queries, for thousands of cells (combinations of labels) at once.

All cells use the same resamples, so that cells stay comparable and one matrix product computes all resampled means. The
interval is the expanded percentile interval (Hesterberg 2015). The plain percentile interval is too short by the factor
of about sqrt((n-1)/n) z/t, so the expanded interval uses wider percentiles. docs/methods/statistics.md has the measured
coverage.

Rare outcomes of 0 or 1 have other intervals (`resampling.outcomes`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from retroscope.ranges import OpenFraction, Range, Seed, check_ranges
from retroscope.statistics.resampling.clusters import Clusters, independent
from retroscope.statistics.resampling.shared_passages import sharing

BLOCK = 2**23  # doubles held at a time: 64 MB of weights and as many of resampled means
FEWEST_RESAMPLES = 100


@dataclass(frozen=True, kw_only=True)
class IntervalSettings:
    """Settings of bootstrap intervals: level, number of resamples, and seed.

    Attributes:
        level: confidence level of the intervals.
        resamples: number of bootstrap resamples. 2,000 determine an end of a 95 % interval to within 3 % of its
            half-width (standard error sqrt(.025 x .975 / 2000) in probability).
        seed: seed of the resampling.
    """

    level: OpenFraction = 0.95
    resamples: Annotated[int, Range(FEWEST_RESAMPLES, 10**7, why="2,000 is the default")] = 2000
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, eq=False)
class Interval:
    """The mean over queries for each combination of labels (cell), with its interval.

    Attributes:
        mean: mean over the measured queries, or NaN without any.
        low, high: ends of the interval, or NaN for fewer than two texts.
        level: nominal coverage of the intervals.
        n: number of queries with a value (not NaN).
    """

    mean: Float[np.ndarray, "*cell"]
    low: Float[np.ndarray, "*cell"]
    high: Float[np.ndarray, "*cell"]
    level: float
    n: Int[np.ndarray, "*cell"]


DEFAULT = IntervalSettings()


def bootstrap_mean(
    values: Float[np.ndarray, "query *cell"], settings: IntervalSettings = DEFAULT, clusters: Clusters | None = None
) -> Interval:
    """Return the mean over queries in every cell, with its bootstrap interval. NaN marks a query that was not measured.

    A cell is one combination of labels, e.g. layer 6 of one probe. The bootstrap resamples query texts, each with all
    its queries. If texts share passages, the distance of both ends from the mean is multiplied by the widening factor
    of `resampling.shared_passages`. Each query must have one number: average over its passages first.

    Args:
        clusters: texts and passages that the queries share, in the order of the rows. If None, they share nothing.
    """
    shape = values.shape[1:]
    flat = np.asarray(values, dtype=np.float64).reshape(len(values), int(np.prod(shape)))
    measured = np.isfinite(flat)
    n = measured.sum(axis=0)
    mean = np.where(n > 0, np.where(measured, flat, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan)
    centred = np.where(measured, flat - mean, np.nan)
    shared_texts = clusters or independent(len(flat))
    counted = shared_texts.sizes(centred)
    used = counted.any(axis=1)
    low, high = _ends(shared_texts.sums(centred)[used], counted[used], settings)
    shared = sharing(flat, shared_texts)
    if shared is not None:
        grown = shared.widening(settings.level)
        low, high = _within(low * grown, high * grown, centred)
    return Interval(
        mean=mean.reshape(shape),
        low=(mean + low).reshape(shape),
        high=(mean + high).reshape(shape),
        level=settings.level,
        n=n.reshape(shape),
    )


def _within(
    low: Float[np.ndarray, "cell"], high: Float[np.ndarray, "cell"], centred: Float[np.ndarray, "query cell"]
) -> tuple[Float[np.ndarray, "cell"], Float[np.ndarray, "cell"]]:
    """Clip the ends of widened intervals, relative to the mean, to the range of the observed values."""
    filled = np.nan_to_num(centred, nan=0.0)
    return np.maximum(low, filled.min(axis=0, initial=0.0)), np.minimum(high, filled.max(axis=0, initial=0.0))


def tail(level: float, n: Int[np.ndarray, "cell"]) -> Float[np.ndarray, "cell"]:
    """Return the level of the bootstrap quantile that is the lower end of an interval, corrected for few texts.

    For n texts, it is Phi(-sqrt(n / (n - 1)) t), where t is Student's quantile with n - 1 degrees of freedom.
    """
    size = np.maximum(n, 2)
    quantile = stats.t.ppf((1 + level) / 2, size - 1)
    return np.asarray(stats.norm.cdf(-np.sqrt(size / (size - 1)) * quantile))


def _ends(
    sums: Float[np.ndarray, "text cell"], counted: Int[np.ndarray, "text cell"], settings: IntervalSettings
) -> tuple[Float[np.ndarray, "cell"], Float[np.ndarray, "cell"]]:
    """Return the lower and upper ends of all intervals, relative to the mean; NaN for fewer than two texts.

    If all values change sign, the ends swap exactly.

    Args:
        sums: sum of the centred values of each text and cell.
        counted: number of measured queries of each text and cell.
    """
    texts = (counted > 0).sum(axis=0)
    low, high = np.full(len(texts), np.nan), np.full(len(texts), np.nan)
    share = tail(settings.level, texts)
    step = max(1, BLOCK // settings.resamples)
    for start in range(0, len(texts), step):
        part = slice(start, start + step)
        means = _resampled_means(sums[:, part], counted[:, part], settings)
        low[part] = _quantile(means, share[part])
        high[part] = -_quantile(-means, share[part])
    few = texts < 2
    low[few], high[few] = np.nan, np.nan
    return low, high


def _resampled_means(
    sums: Float[np.ndarray, "text cell"], counted: Int[np.ndarray, "text cell"], settings: IntervalSettings
) -> Float[np.ndarray, "resample cell"]:
    """Return each cell's mean over queries in every resample; NaN if a resample has no measured text of the cell."""
    single = bool((counted == 1).all())
    means = []
    for weights in _weights(len(sums), settings):
        drawn = np.full((1, 1), float(len(sums))) if single else weights @ counted.astype(np.float64)
        means.append(weights @ sums / np.where(drawn > 0, drawn, np.nan))
    return np.concatenate(means)


def _weights(texts: int, settings: IntervalSettings) -> Iterator[Float[np.ndarray, "resample text"]]:
    """Yield, in blocks of resamples, how often each text is drawn. Equal settings give the same draws."""
    random = np.random.default_rng(settings.seed)
    step = max(1, BLOCK // max(texts, 1))
    for start in range(0, settings.resamples, step):
        rows = min(step, settings.resamples - start)
        drawn = random.integers(0, max(texts, 1), (rows, texts)) + np.arange(rows)[:, None] * texts
        yield np.bincount(drawn.ravel(), minlength=rows * texts).reshape(rows, texts).astype(np.float64)


def _quantile(means: Float[np.ndarray, "resample cell"], share: Float[np.ndarray, "cell"]) -> Float[np.ndarray, "cell"]:
    """Return the quantile of each column of resampled means at the column's level in `share`, interpolated linearly."""
    ordered = np.sort(means, axis=0)  # NaN last
    last = np.maximum(np.isfinite(ordered).sum(axis=0) - 1, 0)
    position = share * last
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, last)
    lower, upper = (np.take_along_axis(ordered, at[None], axis=0)[0] for at in (below, above))
    return np.asarray(lower + (upper - lower) * (position - below))
