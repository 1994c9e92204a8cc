"""Paired tests of the scores of the same queries before and after fine-tuning, for every cell at once.

A cell is one combination of labels, e.g. layer 6 of the probe "cosine". Each test takes the values before and after,
both (query, cell). A query whose value before or after is NaN does not count in that cell. The result is one two-sided
p-value per cell: NaN for fewer than two pairs, 1 if no value differs, and never 0.
"""

import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from retroscope.errors import AnalysisError
from retroscope.statistics.resampling.clusters import Clusters, independent
from retroscope.statistics.resampling.flips import Differences, PValues, SignFlips, sign_flip_p

QueryValues = Float[np.ndarray, "query cell"]
PairedTest = Callable[[QueryValues, QueryValues, SignFlips, Clusters | None], PValues]

DRAWN = SignFlips()
ROUNDING = 4 * np.finfo(np.float64).eps  # two roundings of each mean that an analysis stores, and some room


def paired_differences(before: QueryValues, after: QueryValues) -> Differences:
    """Return after minus before: NaN if either is missing, and 0 if they differ only by rounding."""
    change = after - before
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(change) <= ROUNDING * np.maximum(np.abs(before), np.abs(after)), 0.0, change)


def n_pairs(change: Differences) -> Int[np.ndarray, "cell"]:
    """Count the queries that are measured both before and after, for each column."""
    return np.asarray(np.isfinite(change).sum(axis=0))


def paired_t(
    before: QueryValues, after: QueryValues, flips: SignFlips = DRAWN, clusters: Clusters | None = None
) -> PValues:
    """Test the mean difference by Student's paired t test, in which queries with the same text are one observation.

    If texts repeat, the variance is that of the sums over the queries of each text, with (number of texts - 1) degrees
    of freedom. If all texts changed by the same amount, the variance is 0 and t is undefined. The p-value is then the
    exact one of sign flips, 2 / 2^n (n texts), or 1 if the changes of each text sum to 0.

    Args:
        flips: not used; all tests have the same arguments.
        clusters: which queries have the same text. If None, all texts are distinct.
    """
    change = paired_differences(before, after)
    shared = clusters or independent(len(change))
    p = t_test_p(change, 0.0, "two-sided", shared)
    flipped = np.where(cancelled(change, shared), 1.0, 2 * 0.5 ** n_texts(change, shared))
    return _reported(np.where(alike(change, shared), flipped, p), change, shared)


def sign_flip(
    before: QueryValues, after: QueryValues, flips: SignFlips = DRAWN, clusters: Clusters | None = None
) -> PValues:
    """Test the mean difference by Fisher's randomisation test: the signs of the texts' sums are flipped at random."""
    change = paired_differences(before, after)
    shared = clusters or independent(len(change))
    return _reported(sign_flip_p(shared.sums(change), flips), change, shared)


def mcnemar(
    before: QueryValues, after: QueryValues, flips: SignFlips = DRAWN, clusters: Clusters | None = None
) -> PValues:
    """Test by McNemar's exact test whether as many 0/1 outcomes were gained (0 to 1) as lost (1 to 0).

    Under the null hypothesis, gained - lost of each text has either sign with equal probability. The sum over texts,
    |gained - lost|, is compared with its exact distribution. If every text is one query, this is the binomial test of
    McNemar (1947). With repeated texts, it is the exact form of Durkalski et al. (2003). The test is exact for any
    number of discordant queries: the chi-square approximation above 25 of them would save no time. `flips` is not used.

    Raises:
        AnalysisError: if a value is neither 0 nor 1.
    """
    if not binary(before, after).all():
        raise AnalysisError(
            "McNemar's test needs scores that are all 0 or 1, but some scores have other values",
            where="mcnemar",
            fix="use test='paired_t' or test='sign_flip', or test='auto', which uses McNemar's test only for scores "
            "that are all 0 or 1",
        )
    change = paired_differences(before, after)
    shared = clusters or independent(len(change))
    sums = np.rint(shared.sums(change)).astype(np.int64)
    largest = int(np.abs(sums).max(initial=1))
    counts = np.stack([(np.abs(sums) == k).sum(axis=0) for k in range(1, largest + 1)] + [np.abs(sums.sum(axis=0))])
    tables, cells = np.unique(counts, axis=1, return_inverse=True)
    p = np.array([signed_sum_p(table[:-1], int(table[-1])) for table in tables.T])
    return _reported(p[cells.ravel()], change, shared)


def signed_sum_p(counts: Int[np.ndarray, "size"], total: int) -> float:
    """Return the probability that a sum of whole numbers with random signs has an absolute value of at least `total`.

    Args:
        counts: counts[k - 1] of the numbers are k.
    """
    if counts[1:].sum() == 0:  # scipy's binomial keeps its digits in the farthest tail
        n = int(counts[0])
        return float(min(1.0, 2 * stats.binom.cdf((n - total) // 2, n, 0.5)))
    lower = np.ones(1)  # P(sum = -span + i), i = 0 .. 2 span
    for size, n in enumerate(counts.tolist(), start=1):
        if n:
            term = np.zeros(2 * size * n + 1)
            term[:: 2 * size] = stats.binom.pmf(np.arange(n + 1), n, 0.5)
            lower = np.convolve(lower, term)
    span = (len(lower) - 1) // 2
    return float(min(1.0, 2 * lower[: span - total + 1].sum()))


def wilcoxon(
    before: QueryValues, after: QueryValues, flips: SignFlips = DRAWN, clusters: Clusters | None = None
) -> PValues:
    """Test the changes, summed by text, by Wilcoxon's signed-rank test without zeros (scipy.stats.wilcoxon).

    `flips` is not used.
    """
    change = paired_differences(before, after)
    shared = clusters or independent(len(change))
    p = np.ones(change.shape[1])
    for cell, column in enumerate(shared.sums(change).T):
        changed = column[column != 0]
        if len(changed):
            p[cell] = stats.wilcoxon(changed).pvalue
    return _reported(p, change, shared)


def unpaired_t(
    before: QueryValues, after: QueryValues, flips: SignFlips = DRAWN, clusters: Clusters | None = None
) -> PValues:
    """Test by Student's t for independent samples, although the samples are paired, as the protocol `ielab-2025` does.

    The study arXiv 2505.07166 tests paired 0/1 outcomes in this way. The test ignores the pairing by query, so it
    misses differences that McNemar's test finds. As published, it also ignores repeated texts; `flips` is not used.
    """
    change = paired_differences(before, after)
    missing = np.isnan(change)
    old, new = (np.where(missing, np.nan, values) for values in (before, after))
    p = np.ones(change.shape[1])
    flat = constant(old) & constant(new)
    usable = (n_pairs(change) >= 2) & ~flat
    if usable.any():
        with warnings.catch_warnings():
            # scipy warns where one side does not vary; t is still defined by the other
            warnings.filterwarnings("ignore", "Precision loss occurred", RuntimeWarning)
            p[usable] = stats.ttest_ind(old[:, usable], new[:, usable], axis=0, nan_policy="omit").pvalue
    apart = flat & (n_pairs(change) >= 2) & (np.nan_to_num(np.abs(change)).max(axis=0, initial=0.0) > 0)
    p[apart] = np.finfo(np.float64).tiny  # all right on one side and all wrong on the other: t is infinite, p is 0
    return _reported(p, change, independent(len(change)))


PAIRED_TESTS: dict[str, PairedTest] = {
    "paired_t": paired_t,
    "sign_flip": sign_flip,
    "mcnemar": mcnemar,
    "wilcoxon": wilcoxon,
    "unpaired_t": unpaired_t,
}


def binary(before: QueryValues, after: QueryValues) -> Bool[np.ndarray, "cell"]:
    """Return, for each column, whether all paired values are 0 or 1."""
    missing = np.isnan(before) | np.isnan(after)
    zero_or_one = ((before == 0) | (before == 1)) & ((after == 0) | (after == 1))
    return np.asarray((zero_or_one | missing).all(axis=0))


def constant(change: Differences) -> Bool[np.ndarray, "cell"]:
    """Return, for each column, whether all measured queries have the same change, up to rounding."""
    measured = np.isfinite(change)
    top = np.where(measured, change, -np.inf).max(axis=0, initial=-np.inf)
    bottom = np.where(measured, change, np.inf).min(axis=0, initial=np.inf)
    # scipy calls a variance imprecise where deviations fall below 10 eps of the mean; this is wider
    return np.asarray(top <= bottom + 16 * ROUNDING * np.maximum(np.abs(top), np.abs(bottom)))


def alike(change: Differences, clusters: Clusters) -> Bool[np.ndarray, "cell"]:
    """Return, for each column, whether all texts have the same mean change, up to rounding, so that t is undefined."""
    if not clusters.repeats:
        return constant(change)
    mean = np.nan_to_num(change).sum(axis=0) / np.maximum(n_pairs(change), 1)
    return _negligible(change - mean, change, clusters)


def cancelled(change: Differences, clusters: Clusters) -> Bool[np.ndarray, "cell"]:
    """Return, for each column, whether the changes of every text sum to 0, up to rounding."""
    return _negligible(change, change, clusters)


def _negligible(values: Differences, change: Differences, clusters: Clusters) -> Bool[np.ndarray, "cell"]:
    """Return, for each column, whether the values of every text sum to 0, up to the rounding error of the changes."""
    largest = np.nan_to_num(np.abs(change)).max(axis=0, initial=0.0)
    slack = ROUNDING * (16 + len(change)) * largest  # a sum of n changes errs by n eps times the largest at most
    return np.asarray((np.abs(clusters.sums(values)) <= slack * clusters.sizes(change)).all(axis=0))


def t_test_p(change: Differences, centre: float, alternative: str, clusters: Clusters) -> PValues:
    """Return, for every column, the p-value of a t test that the mean change is `centre`; NaN where t is undefined.

    Queries with the same text are one observation.

    Args:
        alternative: "two-sided", "greater" (the mean is above `centre`) or "less".
    """
    p = np.full(change.shape[1], np.nan)
    usable = (n_texts(change, clusters) >= 2) & ~alike(change, clusters)
    if not usable.any():
        return p
    if not clusters.repeats:
        test = stats.ttest_1samp(change[:, usable], centre, axis=0, nan_policy="omit", alternative=alternative)
        p[usable] = test.pvalue
        return p
    values, texts = change[:, usable], n_texts(change, clusters)[usable]
    centred = values - np.nanmean(values, axis=0)
    error = np.sqrt((clusters.sums(centred) ** 2).sum(axis=0) * texts / (texts - 1)) / n_pairs(values)
    t = (np.nanmean(values, axis=0) - centre) / np.where(error > 0, error, np.nan)
    beyond = {"two-sided": 2 * stats.t.sf(np.abs(t), texts - 1), "greater": stats.t.sf(t, texts - 1)}
    p[usable] = beyond.get(alternative, stats.t.cdf(t, texts - 1))
    return p


def n_texts(change: Differences, clusters: Clusters) -> Int[np.ndarray, "cell"]:
    """Count the distinct query texts that are measured both before and after, for each column."""
    return np.asarray((clusters.sizes(change) > 0).sum(axis=0))


def _reported(p: PValues, change: Differences, clusters: Clusters) -> PValues:
    """Set p-values to NaN for fewer than two texts, and to 1 if no value differs; replace 0 by the smallest float."""
    unmoved = ~(np.nan_to_num(change) != 0).any(axis=0)
    bounded = np.clip(np.where(unmoved, 1.0, p), np.finfo(np.float64).tiny, 1.0)
    return np.where(n_texts(change, clusters) >= 2, bounded, np.nan)
