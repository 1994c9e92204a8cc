"""Intervals and p-values of means over seeds and queries: both are random samples, and all seeds have the same queries.

Two-way random effects without replication: value = mean + seed + query + rest. The variance of the mean is MS_seed / n
+ (MS_query - MS_rest) / n for n = seeds x queries (Brennan, Generalizability Theory, 2001, ch. 6). Each variance
component has the Student quantile of its own degrees of freedom, so that the interval has its nominal coverage with
three seeds, too (tests/statistics/test_crossed.py). With one common number of degrees of freedom, the coverage with
three seeds is .91. If three seeds differ, the interval is rightly wide. The interval is never narrower than the
interval over queries alone, which uses the mean over seeds of each query. The reason is that the estimate of MS_seed is
0 if all seeds happen to have the same mean, although MS_seed is never smaller than MS_rest in expectation. Shared
passages widen the interval by the same factor as the interval of the mean over seeds (`shared_passages.sharing`). This
is a little too much if the seeds differ.
"""

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

from retroscope.errors import AnalysisError
from retroscope.statistics.resampling.clusters import Clusters
from retroscope.statistics.resampling.intervals import Interval
from retroscope.statistics.resampling.outcomes import unseen
from retroscope.statistics.resampling.shared_passages import Sharing, sharing

SMALLEST_P = 1e-12  # below it, quantiles of Student's law lose their digits


def crossed_mean(
    values: Float[np.ndarray, "seed query"],
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    clusters: Clusters | None = None,
) -> Interval:
    """Return the mean over seeds and queries with its interval. With one seed, the interval is over queries alone.

    If all values are equal, the interval still has a width, because 0 on 200 queries does not prove 0 on all queries.
    It then assumes that a share of all queries may have a value at a bound. This share is the upper limit of Clopper
    and Pearson for an event that was never observed (`outcomes.unseen`).

    Args:
        bounds: smallest and largest possible value. The interval does not go beyond them.
        clusters: texts and passages that the queries share. If None, they share nothing.

    Raises:
        AnalysisError: for fewer than two queries, or if a query has a value for some seeds only.
    """
    by_text, n = _measured(values, clusters)
    n_seeds, n_queries = by_text.shape
    lacking = int(np.isnan(by_text).any(axis=0).sum())
    if n_queries < 2 or lacking:
        raise AnalysisError(
            f"{lacking} of {n_queries} queries have no value for some of the {n_seeds} seeds"
            if lacking
            else f"a mean with an interval needs at least two queries, but {n_queries} have values",
            where="crossed_mean",
            fix="measure all seeds on the same queries, and on at least two",
        )
    mean = float(by_text.mean())
    lowest, highest = bounds
    if _constant(by_text) and np.isfinite(bounds).all():
        rarer = float(unseen(n_queries, level))
        return _interval(mean, (mean - rarer * (mean - lowest), mean + rarer * (highest - mean)), level, n)
    half = _half_width(by_text, level) * _widening(_shared(values, clusters), level)
    return _interval(mean, (max(lowest, mean - half), min(highest, mean + half)), level, n)


def crossed_p(values: Float[np.ndarray, "seed query"], clusters: Clusters | None = None) -> float:
    """Return the two-sided p-value of the null hypothesis that the mean over seeds and queries is 0.

    It is 1 - level for the highest level at which the interval of `crossed_mean` excludes 0. If all values are equal,
    it is the p-value of the sign-flip test: 2 / 2^n for n texts, or 1 if the values are 0.
    """
    measured, _ = _measured(values, clusters)
    mean = abs(float(measured.mean()))
    if _constant(measured):
        return min(1.0, 2 * 0.5 ** measured.shape[1]) if mean else 1.0
    smallest, largest = np.log(SMALLEST_P), np.log1p(-1e-9)
    shared = _shared(values, clusters)

    def beyond(log_p: float) -> float:
        level = -np.expm1(log_p)
        return _half_width(measured, level) * _widening(shared, level) - mean

    if beyond(smallest) < 0:
        return SMALLEST_P
    return 1.0 if beyond(largest) > 0 else float(np.exp(optimize.brentq(beyond, smallest, largest)))


def of_texts(values: Float[np.ndarray, "*cell query"], clusters: Clusters) -> Float[np.ndarray, "*cell text"]:
    """Merge the values of queries with the same text into one value per text, without changing the overall mean."""
    if not clusters.repeats:
        return values
    flat = values.reshape(-1, values.shape[-1])
    mean = flat.mean(axis=1, keepdims=True)
    sums = clusters.sums((flat - mean).T).T
    return np.asarray((mean + sums * (sums.shape[1] / flat.shape[1])).reshape(*values.shape[:-1], sums.shape[1]))


def _measured(
    values: Float[np.ndarray, "seed query"], clusters: Clusters | None
) -> tuple[Float[np.ndarray, "seed text"], int]:
    """Return one value per seed and text, over the queries with a value, and the number of these queries."""
    is_measured = ~np.isnan(values).all(axis=0)
    present = values[:, is_measured]
    return (present if clusters is None else of_texts(present, clusters.only(is_measured))), present.shape[1]


def _constant(values: Float[np.ndarray, "seed text"]) -> bool:
    """Return whether all values are equal, up to the rounding of a difference."""
    return bool(np.ptp(values) <= 16 * np.finfo(np.float64).eps * abs(float(values.mean())))


def _shared(values: Float[np.ndarray, "seed query"], clusters: Clusters | None) -> Sharing | None:
    """Return the effect of shared passages on the standard error of the mean; None if no passages are shared."""
    return None if clusters is None else sharing(values.mean(axis=0)[:, None], clusters)


def _widening(shared: Sharing | None, level: float) -> float:
    return 1.0 if shared is None else float(shared.widening(level)[0])


def _half_width(values: Float[np.ndarray, "seed query"], level: float) -> float:
    n_seeds, n_queries = values.shape
    t_queries: float = float(stats.t.ppf((1 + level) / 2, n_queries - 1))
    of_queries = n_seeds * float(values.mean(axis=0).var(ddof=1))
    if n_seeds == 1:
        return float(np.sqrt(t_queries**2 * of_queries / values.size))
    t_seeds = float(stats.t.ppf((1 + level) / 2, n_seeds - 1))
    of_seeds = n_queries * float(values.mean(axis=1).var(ddof=1))
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    of_rest = float((rest**2).sum()) / ((n_seeds - 1) * (n_queries - 1))
    spread = t_seeds**2 * of_seeds + t_queries**2 * max(0.0, of_queries - of_rest)
    return float(np.sqrt(max(spread, t_queries**2 * of_queries) / values.size))


def _interval(mean: float, ends: tuple[float, float], level: float, n: int) -> Interval:
    low, high = map(np.asarray, ends)
    return Interval(mean=np.asarray(mean), low=low, high=high, level=level, n=np.asarray(n))
