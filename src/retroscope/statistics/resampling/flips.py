"""Sign flips: the joint randomisation distribution of the mean differences of all cells (combinations of labels).

If "before" and "after" are exchangeable within a query, both signs of the query's difference are equally likely. A
random sign for each query, the same in all cells, gives the joint null distribution of the means of all cells, and
therefore also that of the largest mean (Smucker et al. 2007; Boytsov et al. 2013).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from retroscope.ranges import Resamplings, Seed, check_ranges

Differences = Float[np.ndarray, "query cell"]
PValues = Float[np.ndarray, "cell"]

BLOCK = 2**22  # doubles held at a time: 32 MB of signs and as many of statistics
WORD = 64  # random bits drawn at once


@dataclass(frozen=True, kw_only=True)
class SignFlips:
    """Settings of random sign flips: how many patterns of signs are drawn, and the seed.

    If no more patterns exist than `permutations`, all of them are used once.

    Attributes:
        permutations: how many patterns are drawn. The smallest p-value is 1 / (permutations + 1).
        seed: seed of the draw.
    """

    permutations: Resamplings = 10_000
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)


def standardised(differences: Differences) -> Differences:
    """Scale the differences of each column (cell) so that their sum under random signs has variance 1.

    A missing difference (NaN) becomes 0, which no flip changes. Queries whose difference is 0 in all columns are left
    out.
    """
    filled = np.nan_to_num(differences, nan=0.0)
    filled = filled[filled.any(axis=1)]
    size = np.sqrt((filled**2).sum(axis=0))
    return np.asarray(filled / np.where(size > 0, size, 1.0))


def observed_statistics(unit: Differences) -> PValues:
    """Return the absolute sum of each column of standardised differences, minus the largest possible rounding error.

    A sum of n terms errs by at most n eps sum|x|, and sum|x| <= sqrt(n) where sum x^2 = 1. Without this tolerance,
    rounding would hide flips that tie with the observed signs, and p would be too small.
    """
    slack = len(unit) ** 1.5 * np.finfo(np.float64).eps
    return np.asarray(np.abs(unit.sum(axis=0)) - 2 * slack)


def flipped_statistics(unit: Differences, flips: SignFlips) -> Iterator[Float[np.ndarray, "flip cell"]]:
    """Yield the absolute sum of each column of standardised differences under random signs, in blocks of flips.

    Args:
        unit: the result of `standardised`.
    """
    queries, cells = unit.shape
    rows = max(1, BLOCK // max(queries, cells, 1))
    for signs in _signs(queries, rows, flips):
        yield np.abs(signs @ unit)


def tail_probability(counts: Int[np.ndarray, "cell"], queries: int, flips: SignFlips) -> PValues:
    """Return the p-value: the share of sign patterns whose statistic is at least as large as the observed one.

    The observed pattern counts as one of them, so p is never 0. If all 2^n patterns are used, it is among them. If m
    patterns are drawn, it is added: p = (counts + 1) / (m + 1) (Phipson and Smyth 2010).

    Args:
        counts: how many of the used patterns reach the observed statistic.
        queries: number n of queries whose sign is flipped.
    """
    if exhaustive(queries, flips):
        return counts / 2.0**queries
    return (counts + 1) / (flips.permutations + 1)


def exhaustive(queries: int, flips: SignFlips) -> bool:
    """Return whether all 2^queries sign patterns are enumerated because they are at most `flips.permutations`."""
    return queries < WORD and 2**queries <= flips.permutations


def sign_flip_p(differences: Differences, flips: SignFlips) -> PValues:
    """Return, for each column, the two-sided sign-flip p-value of the null hypothesis that its mean is 0."""
    unit = standardised(differences)
    observed = observed_statistics(unit)
    counts = np.zeros(unit.shape[1], dtype=np.int64)
    for statistics in flipped_statistics(unit, flips):
        counts += (statistics >= observed).sum(axis=0)
    return tail_probability(counts, len(unit), flips)


def max_statistic_p(differences: Differences, flips: SignFlips, ratio: PValues | None = None) -> PValues:
    """Return each column's sign-flip p-value, all corrected as one family by the step-down maximum statistic.

    Source: Westfall and Young 1993, algorithm 4.1.

    The column with the largest statistic is compared with the maximum over all columns under each flip, the next column
    with the maximum over the remaining columns, and so on. P-values never fall along that order.

    Args:
        ratio: factor by which shared passages enlarge the standard error of each column's mean. The column's statistic
            is divided by it. If None, it is 1.
    """
    unit = standardised(differences)
    observed = observed_statistics(unit) / (1.0 if ratio is None else ratio)
    order = np.argsort(-observed, kind="stable")
    unit, observed = unit[:, order], observed[order]
    counts = np.zeros(unit.shape[1], dtype=np.int64)
    for statistics in flipped_statistics(unit, flips):
        largest = np.maximum.accumulate(statistics[:, ::-1], axis=1)[:, ::-1]
        counts += (largest >= observed).sum(axis=0)
    corrected = np.empty(unit.shape[1])
    corrected[order] = np.maximum.accumulate(tail_probability(counts, len(unit), flips))
    return corrected


def _signs(queries: int, rows: int, flips: SignFlips) -> Iterator[Float[np.ndarray, "flip query"]]:
    total = 2**queries if exhaustive(queries, flips) else flips.permutations
    random = np.random.default_rng(flips.seed)
    for start in range(0, total, rows):
        stop = min(start + rows, total)
        if exhaustive(queries, flips):
            words = np.arange(start, stop, dtype="<u8")[:, None]
        else:  # whole words, so that the draw does not depend on the size of a block
            words = random.integers(0, 2**WORD, (stop - start, -(-queries // WORD)), dtype=np.uint64).astype("<u8")
        bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[:, :queries]
        yield 1.0 - 2.0 * bits
