"""Tests of the same queries before and after, for every cell at once.

A cell is one label of a table (layer 6 of the probe "cosine", say). Each test takes the values
before and after, both (query, cell), drops a query in a cell where either is NaN, and gives one
two-sided p-value per cell: NaN below two pairs, 1 where nothing differs, and never 0.
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
    """Return after minus before, or NaN if either is missing, 0 if they differ only by rounding."""
    change = after - before
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(change) <= ROUNDING * np.maximum(np.abs(before), np.abs(after)), 0.0, change)


def n_pairs(change: Differences) -> Int[np.ndarray, "cell"]:
    """Count the queries that are measured both before and after, for each cell."""
    return np.asarray(np.isfinite(change).sum(axis=0))


def paired_t(
    before: QueryValues, after: QueryValues, flips: SignFlips = DRAWN, clusters: Clusters | None = None
) -> PValues:
    """Test the mean difference by Student's paired t test, over texts.

    If texts repeat, the variance of the mean is that of the texts' sums, with texts - 1 degrees of freedom. If all
    texts changed by the same amount, the variance is 0 and t is undefined. The cell then gets the exact sign-flip
    p-value 2 / 2^n (n texts), or 1 if the changes of each text cancel.
    """
    change = paired_differences(before, after)
    shared = clusters or independent(len(change))
    p = t_test_p(change, 0.0, "two-sided", shared)
    flipped = np.where(cancelled(change, shared), 1.0, 2 * 0.5 ** n_texts(change, shared))
    return _reported(np.where(alike(change, shared), flipped, p), change, shared)


def sign_flip(
    before: QueryValues, after: QueryValues, flips: SignFlips = DRAWN, clusters: Clusters | None = None
) -> PValues:
    """Test the mean difference by randomisation: the signs of whole texts are flipped at random (Fisher's test)."""
    change = paired_differences(before, after)
    shared = clusters or independent(len(change))
    return _reported(sign_flip_p(shared.sums(change), flips), change, shared)


def mcnemar(
    before: QueryValues, after: QueryValues, flips: SignFlips = DRAWN, clusters: Clusters | None = None
) -> PValues:
    """Test 0/1 outcomes by McNemar's exact test of gained against lost queries, without random flips.

    Under the null hypothesis, each text's gained - lost has either sign with equal probability. |gained - lost| is
    compared with its exact distribution. If every text is one query, this is the binomial test of McNemar (1947). With
    repeated texts, it is the exact form of Durkalski et al. (2003). The test is exact at every size, not only below 25
    discordant queries, because this costs no more. The chi-square form was made for computation by hand.

    Raises:
        AnalysisError: if a value is neither 0 nor 1.
    """
    if not binary(before, after).all():
        raise AnalysisError(
            "McNemar's test needs scores of 0 or 1, but some scores have other values",
            where="mcnemar",
            fix="use test='paired_t' or test='sign_flip'; test='auto' chooses a test for every cell",
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
    """Return the probability that a random-sign sum is at least `total` in size. Counts[k - 1] terms have size k."""
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
    """Test the texts' sums by Wilcoxon's signed ranks without zeros (scipy.stats.wilcoxon); draws no flips."""
    change = paired_differences(before, after)
    shared = clusters or independent(len(change))
    p = np.ones(change.shape[1])
    for cell, column in enumerate(shared.sums(change).T):
        moved = column[column != 0]
        if len(moved):
            p[cell] = stats.wilcoxon(moved).pvalue
    return _reported(p, change, shared)


def unpaired_t(
    before: QueryValues, after: QueryValues, flips: SignFlips = DRAWN, clusters: Clusters | None = None
) -> PValues:
    """Test by Student's t for independent samples although samples are paired; only for the protocol `ielab-2025`.

    The study arXiv 2505.07166 tests paired 0/1 outcomes in this way. The test ignores the pairing by query, so it
    misses differences that McNemar's test finds. As published, it draws no flips and ignores repeated texts.
    """
    change = paired_differences(before, after)
    missing = np.isnan(change)
    one, two = (np.where(missing, np.nan, values) for values in (before, after))
    p = np.ones(change.shape[1])
    flat = constant(one) & constant(two)
    usable = (n_pairs(change) >= 2) & ~flat
    if usable.any():
        with warnings.catch_warnings():
            # scipy warns where one side does not vary; t is still defined by the other
            warnings.filterwarnings("ignore", "Precision loss occurred", RuntimeWarning)
            p[usable] = stats.ttest_ind(one[:, usable], two[:, usable], axis=0, nan_policy="omit").pvalue
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
    """Return, for each cell, whether all paired values are 0 or 1."""
    missing = np.isnan(before) | np.isnan(after)
    zero_or_one = ((before == 0) | (before == 1)) & ((after == 0) | (after == 1))
    return np.asarray((zero_or_one | missing).all(axis=0))


def constant(change: Differences) -> Bool[np.ndarray, "cell"]:
    """Return, for each cell, whether all queries changed by the same amount, up to rounding."""
    measured = np.isfinite(change)
    top = np.where(measured, change, -np.inf).max(axis=0, initial=-np.inf)
    bottom = np.where(measured, change, np.inf).min(axis=0, initial=np.inf)
    # scipy calls a variance imprecise where deviations fall below 10 eps of the mean; this is wider
    return np.asarray(top <= bottom + 16 * ROUNDING * np.maximum(np.abs(top), np.abs(bottom)))


def alike(change: Differences, clusters: Clusters) -> Bool[np.ndarray, "cell"]:
    """Return, for each cell, whether all texts changed alike, up to rounding, so that their sums have no variance."""
    if not clusters.repeats:
        return constant(change)
    mean = np.nan_to_num(change).sum(axis=0) / np.maximum(n_pairs(change), 1)
    return _negligible(change - mean, change, clusters)


def cancelled(change: Differences, clusters: Clusters) -> Bool[np.ndarray, "cell"]:
    """Return, for each cell, whether the changes of every text sum to 0, up to rounding."""
    return _negligible(change, change, clusters)


def _negligible(values: Differences, change: Differences, clusters: Clusters) -> Bool[np.ndarray, "cell"]:
    """Return, for each cell, whether the values of every text sum to no more than what rounding of `change` leaves."""
    largest = np.nan_to_num(np.abs(change)).max(axis=0, initial=0.0)
    slack = ROUNDING * (16 + len(change)) * largest  # a sum of n changes errs by n eps times the largest at most
    return np.asarray((np.abs(clusters.sums(values)) <= slack * clusters.sizes(change)).all(axis=0))


def t_test_p(change: Differences, centre: float, alternative: str, clusters: Clusters) -> PValues:
    """Return the p-value of a t test of `mean = centre` over texts, or NaN where t is undefined."""
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
    """Count the distinct texts that are measured both before and after, for each cell."""
    return np.asarray((clusters.sizes(change) > 0).sum(axis=0))


def _reported(p: PValues, change: Differences, clusters: Clusters) -> PValues:
    """Return p-values for a report: NaN below two texts, 1 if nothing differs, and never 0."""
    unmoved = ~(np.nan_to_num(change) != 0).any(axis=0)
    bounded = np.clip(np.where(unmoved, 1.0, p), np.finfo(np.float64).tiny, 1.0)
    return np.where(n_texts(change, clusters) >= 2, bounded, np.nan)
