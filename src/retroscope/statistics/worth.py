"""Worth in labels: how many training labels a pre-trained part of the backbone (e.g. its attention) replaces.

Hernandez et al. (2021, arXiv 2102.01293, eq. 1.1) call this worth "effective data transferred".

Suppose that a retriever with a pre-trained part reaches with n labels the measure that a retriever without this part
reaches with m > n labels. Then the part is worth m - n labels. The number m is read off the curve of the retriever
without the part. The curve is made monotone and interpolated linearly in the logarithm of the number of labels. Nothing
is extrapolated beyond the numbers of labels that were tried.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import isotonic_regression

from retroscope.errors import AnalysisError
from retroscope.statistics.resampling.crossed import crossed_mean
from retroscope.statistics.resampling.intervals import IntervalSettings

DEFAULT = IntervalSettings()


@dataclass(frozen=True)
class Worth:
    """How many training labels a pre-trained part of the backbone replaces (its worth), with an interval.

    It depends on the number of labels that the retriever with this part is fine-tuned with.

    Attributes:
        labels: number n of training labels of the retriever with the part.
        value, low, high: worth in labels, and the ends of its interval. inf: the retriever without the part does not
            reach the same score with the largest number of labels that was tried, so the worth is more than `beyond`.
            -inf: the retriever without the part is better even with the smallest number of labels that was tried.
        beyond: the largest number of labels that was tried, minus n.
        gap, gap_low, gap_high: score with the part minus score without the part at n labels, over seeds and queries,
            and the ends of its interval (`crossed_mean`). A worth is claimed only if this interval excludes 0. With one
            seed `gap_low` and `gap_high` are NaN and nothing is claimed, because an interval over queries alone would
            take a chance difference between trainings for a worth.
    """

    labels: int
    value: float
    low: float
    high: float
    beyond: int
    gap: float = np.nan
    gap_low: float = np.nan
    gap_high: float = np.nan

    @property
    def shown(self) -> bool:
        """Return whether the part is significantly better or worse than random weights, in score and in labels."""
        return bool((self.low > 0 and self.gap_low > 0) or (self.high < 0 and self.gap_high < 0))


def labels_to_reach(value: float, labels: Float[np.ndarray, "budget"], curve: Float[np.ndarray, "budget"]) -> float:
    """Return the number of labels at which a learning curve reaches a value.

    The result is inf for a value above the whole curve, and -inf for a value below it.

    Args:
        value: score to reach.
        labels: numbers of labels, rising.
        curve: score at each number of labels. It is made monotone first.
    """
    rising = isotonic_regression(curve).x
    if value > rising[-1]:
        return np.inf
    if value < rising[0]:
        return -np.inf
    at = int(np.searchsorted(rising, value, side="left"))  # the first budget that is good enough
    if at == 0 or rising[at] == value:
        return float(labels[at])
    share = (value - rising[at - 1]) / (rising[at] - rising[at - 1])
    return float(np.exp(np.log(labels[at - 1]) + share * np.log(labels[at] / labels[at - 1])))


def worth(
    had: Float[np.ndarray, "seed budget query"],
    lacked: Float[np.ndarray, "seed budget query"],
    labels: tuple[int, ...],
    settings: IntervalSettings = DEFAULT,
) -> list[Worth]:
    """Return how many training labels a pre-trained part replaces (its worth), for every number of labels.

    The intervals are over seeds and queries.

    Args:
        had, lacked: score of each query, by retrievers fine-tuned with and without the pre-trained part.
        labels: numbers of labels along the second dimension, rising.
        settings: settings of the bootstrap. With few seeds the interval is too narrow. A single seed is not resampled.

    Raises:
        AnalysisError: for fewer than two numbers of labels, which give no curve, or numbers that do not rise.
    """
    if len(labels) < 2 or list(labels) != sorted({*labels}):
        raise AnalysisError(
            f"invalid numbers of training labels {labels}: a curve needs two or more, in rising order",
            where="worth",
            fix="give two or more rising numbers, e.g. 100, 1000",
        )
    budgets = np.asarray(labels, dtype=np.float64)
    values = _worths(had.mean(axis=(0, 2)), lacked.mean(axis=(0, 2)), budgets)
    random = np.random.default_rng(settings.seed)
    draws = np.stack([_resampled(had, lacked, budgets, random) for _ in range(settings.resamples)])
    ends = [(1 - settings.level) / 2, (1 + settings.level) / 2]
    low, high = np.quantile(draws, ends, axis=0, method="inverted_cdf")
    most = labels[-1]
    gaps = [crossed_mean(had[:, i] - lacked[:, i], settings.level) for i in range(len(labels))]
    gap_factor = 1.0 if had.shape[0] > 1 else np.nan
    return [
        Worth(n, float(values[i]), float(low[i]), float(high[i]), most - n,
              float(gaps[i].mean), gap_factor * float(gaps[i].low), gap_factor * float(gaps[i].high))
        for i, n in enumerate(labels)
    ]  # fmt: skip


def _resampled(
    had: Float[np.ndarray, "seed budget query"],
    lacked: Float[np.ndarray, "seed budget query"],
    budgets: Float[np.ndarray, "budget"],
    random: np.random.Generator,
) -> Float[np.ndarray, "budget"]:
    queries = random.integers(had.shape[2], size=had.shape[2])
    seeds = random.integers(had.shape[0], size=had.shape[0])
    with_part, without = (values[seeds][:, :, queries].mean(axis=(0, 2)) for values in (had, lacked))
    return _worths(with_part, without, budgets)


def _worths(
    had: Float[np.ndarray, "budget"], lacked: Float[np.ndarray, "budget"], budgets: Float[np.ndarray, "budget"]
) -> Float[np.ndarray, "budget"]:
    return np.asarray([labels_to_reach(y, budgets, lacked) - n for y, n in zip(had, budgets, strict=True)])
