"""Domain shift: measure how far the passages of one collection are from those of another, on random samples.

There are two types of statistics. Distances (words, embeddings) are measured between the collections (`value`), and
between two halves of the same collection (`floor`, the mean over both collections). All samples have the same size, so
the bias of small samples is the same in both. Levels (length, fertility, unknown tokens, neighbours) are measured in
each collection, and their difference or ratio is reported.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy import sparse

from retroscope.collection.words import words_of
from retroscope.drift.pairs import OfRows, neighbour_overlap
from retroscope.drift.settings import ShiftSettings
from retroscope.errors import AnalysisError
from retroscope.representations.vectors import Vectors
from retroscope.statistics.resampling.jackknife import KeptRows, fewest_texts, jackknife

WORDS, EMBEDDINGS, NEIGHBOURS = "words", "embeddings", "neighbours"
RATIOS = ("length", "fertility")  # whose change is the log2 of a ratio
SHIFT_COLUMNS = ("statistic", "shift", "low", "high", "value", "floor", "reference", "here")

# The rule: another domain or language where the whole interval of the shift of words lies above this threshold, the
# same where it lies below. `benchmarks/domain_detector.py --calibrate` chose it, on other collections than those that
# it is judged by.
WORDS_THRESHOLD = 0.25
ANOTHER, SAME, UNDECIDED = "another", "same", "undecided"

Level = Callable[["PassageSample", KeptRows], float]


@dataclass(frozen=True, eq=False)
class PassageSample:
    """A random sample of a collection's passages: their words, tokens and vectors.

    Attributes:
        words: how often each word occurs in each passage.
        vocabulary: the word of each column of `words`.
        tokens: how many tokens each passage has by the backbone's tokenizer, without truncation.
        unknown: how many of these tokens are the tokenizer's unknown token.
        vectors: final vectors of the passages by the models "before" and "after". The shift of embeddings needs
            "before", the overlap of neighbours needs both.
    """

    words: "sparse.csr_array"
    vocabulary: Sequence[str]
    tokens: Int[np.ndarray, "passage"]
    unknown: Int[np.ndarray, "passage"]
    vectors: Mapping[str, Vectors]

    def __len__(self) -> int:
        return len(self.tokens)

    def part(self, start: int, stop: int) -> "PassageSample":
        """Return the passages `start` to `stop` - 1 of the sample."""
        rows = slice(start, stop)
        vectors = {side: v[rows] for side, v in self.vectors.items()}
        return PassageSample(self.words[rows], self.vocabulary, self.tokens[rows], self.unknown[rows], vectors)


def count_words(texts: Iterable[str]) -> tuple["sparse.csr_array", list[str]]:
    """Return how often each word occurs in each text, as a matrix [text, word], and the word of each column."""
    column: dict[str, int] = {}
    counts = [Counter(words_of(text)) for text in texts]
    cells = [(row, column.setdefault(word, len(column)), n) for row, c in enumerate(counts) for word, n in c.items()]
    rows, columns, values = np.array(cells, dtype=np.int64).reshape(-1, 3).T
    return sparse.csr_array((values, (rows, columns)), shape=(len(counts), len(column))), list(column)


def domain_shift(reference: PassageSample, other: PassageSample | None, settings: ShiftSettings) -> pd.DataFrame:
    """Return every statistic of domain shift between two collections, one row each, with columns `SHIFT_COLUMNS`.

    Args:
        reference: passages of the reference collection in random order.
        other: passages of the other collection in random order. If None, passages of the reference are compared with
            other passages of the reference. This is the control, in which there is no shift.
        settings: how many passages and neighbours are used, and how intervals are computed.

    Raises:
        AnalysisError: if there are too few passages for the intervals.
    """
    n = sample_size(len(reference), None if other is None else len(other), settings.texts)
    needed = fewest_texts(settings.neighbours)
    if n < needed:
        raise AnalysisError(
            f"an interval needs samples of at least {needed} passages, but a sample has only {n}",
            where="domain shift",
            fix="give collections with more passages, or a larger shift.texts",
        )
    collection, start = (reference, 2 * n) if other is None else (other, 0)
    pair = reference.part(0, 2 * n), collection.part(start, start + 2 * n)
    interval = partial(jackknife, level=settings.level, seed=settings.seed)
    rows = [(name, *_distance_row(distance, name, pair, interval)) for name, distance in _distances(*pair).items()]
    rows += [
        (name, *_level_row(name, level, pair, interval))
        for name, level in _levels(pair[0], settings.neighbours).items()
    ]
    return pd.DataFrame(rows, columns=list(SHIFT_COLUMNS))


def sample_size(reference: int, other: int | None, texts: int) -> int:
    """Return how many passages each of the four compared samples has: two halves of each of two collections.

    Args:
        reference: how many passages of the reference are available.
        other: how many passages of the other collection are available. If None, all four samples are from the
            reference.
        texts: how many passages of a collection may be used (`ShiftSettings.texts`).
    """
    return min(reference, texts) // 4 if other is None else min(reference, other, texts) // 2


def outcome(low: float, high: float) -> str:
    """Return whether a collection has another domain or language than the reference: "another", "same", "undecided".

    Args:
        low, high: ends of the interval of the divergence of words.
    """
    if low > WORDS_THRESHOLD:
        return ANOTHER
    return SAME if high < WORDS_THRESHOLD else UNDECIDED


Distance = Callable[[PassageSample, PassageSample], OfRows]
WithLimits = Callable[[OfRows, int], tuple[float, float, float]]
TwoSamples = tuple[PassageSample, PassageSample]  # reference and other collection, two halves each


def _distances(reference: PassageSample, other: PassageSample) -> dict[str, Distance]:
    if "before" not in reference.vectors:
        return {WORDS: _word_divergence}
    width = median_distance(reference.vectors["before"]) or 1.0  # vectors that are all equal have no distance
    return {WORDS: _word_divergence, EMBEDDINGS: partial(_discrepancy, width)}


def _distance_row(distance: Distance, name: str, pair: TwoSamples, interval: WithLimits) -> tuple[float, ...]:
    n = len(pair[0]) // 2
    (first, second), (other_first, other_second) = ((side.part(0, n), side.part(n, 2 * n)) for side in pair)
    between, within = distance(first, other_first), (distance(first, second), distance(other_first, other_second))

    def floor(rows: KeptRows) -> float:
        return (within[0](rows) + within[1](rows)) / 2

    def shift(rows: KeptRows) -> float:
        excess = between(rows) - floor(rows)
        return excess / (1 - floor(rows)) if name == WORDS else excess

    every = np.arange(n)
    return *interval(shift, n), between(every), floor(every), np.nan, np.nan


def _levels(reference: PassageSample, neighbours: int) -> dict[str, Level]:
    both = {NEIGHBOURS: partial(_overlap, neighbours)} if "after" in reference.vectors else {}
    return {"length": _mean_words, "fertility": _fertility, "unknown": _unknown_share, **both}


def _level_row(name: str, level: Level, pair: TwoSamples, interval: WithLimits) -> tuple[float, ...]:
    reference, other = pair

    def change(rows: KeptRows) -> float:
        there, here = level(reference, rows), level(other, rows)
        if name not in RATIOS:
            return here - there
        return float(np.log2(here / there)) if min(here, there) > 0 else float("nan")

    every = np.arange(len(reference))
    return *interval(change, len(reference)), np.nan, np.nan, level(reference, every), level(other, every)


def jensen_shannon(one: Float[np.ndarray, "word"], other: Float[np.ndarray, "word"]) -> float:
    """Return the Jensen-Shannon divergence of two distributions, in bits (Lin 1991, equation 4.1).

    It is 0 for equal distributions, 1 for distributions without a common word, and NaN if one of the two has only
    counts of 0.

    Args:
        one, other: how often each word of a common vocabulary occurs.
    """
    if not (one.sum() and other.sum()):
        return float("nan")
    p, q = one / one.sum(), other / other.sum()
    middle = (p + q) / 2
    return sum(float((side[side > 0] * np.log2(side[side > 0] / middle[side > 0])).sum()) for side in (p, q)) / 2


def _word_divergence(one: PassageSample, other: PassageSample) -> OfRows:
    """Return a function from row indices to the divergence of words between these rows of two samples.

    It covers the words of both samples.
    """
    column = {word: k for k, word in enumerate(one.vocabulary)}
    places = np.array([column.setdefault(word, len(column)) for word in other.vocabulary], dtype=np.int64)

    def divergence(rows: KeptRows) -> float:
        counts = np.zeros((2, len(column)))
        counts[0, : len(one.vocabulary)] = one.words[rows].sum(axis=0)
        counts[1, places] = other.words[rows].sum(axis=0)
        return jensen_shannon(*counts)

    return divergence


def median_distance(x: Vectors) -> float:
    """Return the median Euclidean distance over all pairs of two texts."""
    return float(np.sqrt(np.median(_squares(x, x)[np.triu_indices(len(x), 1)])))


def gaussian_kernel(x: Vectors, y: Vectors, width: float) -> Float[np.ndarray, "n m"]:
    """Return exp(-|x - y|^2 / (2 width^2)) for every vector x and every vector y."""
    return np.asarray(np.exp(-_squares(x, y) / (2 * width**2)))


def _squares(x: Vectors, y: Vectors) -> Float[np.ndarray, "n m"]:
    wide_x, wide_y = x.astype(np.float64), y.astype(np.float64)
    lengths = np.square(wide_x).sum(axis=1)[:, None] + np.square(wide_y).sum(axis=1)[None]
    return np.asarray(np.maximum(lengths - 2 * wide_x @ wide_y.T, 0))


def mmd2(x: Float[np.ndarray, "n n"], y: Float[np.ndarray, "n n"], cross: Float[np.ndarray, "n n"]) -> float:
    """Return the squared maximum mean discrepancy of two samples with equally many vectors, from their kernels.

    It is the unbiased estimate (Gretton et al. 2012, JMLR 13, eq. 3). For two samples of the same distribution, it is 0
    on average, so about half of such estimates are below 0.

    Args:
        x, y: kernel of each sample's vectors with themselves.
        cross: kernel of the first sample's vectors with the second's.
    """
    n = len(x)
    within = sum(float(kernel.sum() - np.trace(kernel)) for kernel in (x, y))
    return within / (n * (n - 1)) - 2 * float(cross.mean())


def _discrepancy(width: float, one: PassageSample, other: PassageSample) -> OfRows:
    x, y = one.vectors["before"], other.vectors["before"]
    kernels = [gaussian_kernel(a, b, width) for a, b in ((x, x), (y, y), (x, y))]
    return lambda rows: mmd2(*(kernel[np.ix_(rows, rows)] for kernel in kernels))


def _mean_words(sample: PassageSample, rows: KeptRows) -> float:
    return float(sample.words[rows].sum()) / len(rows)


def _fertility(sample: PassageSample, rows: KeptRows) -> float:
    """Return how many tokens a word has on average."""
    return float(sample.tokens[rows].sum() / max(sample.words[rows].sum(), 1))


def _unknown_share(sample: PassageSample, rows: KeptRows) -> float:
    return float(sample.unknown[rows].sum() / max(sample.tokens[rows].sum(), 1))


def _overlap(k: int, sample: PassageSample, rows: KeptRows) -> float:
    return neighbour_overlap(sample.vectors["before"][rows], sample.vectors["after"][rows], k)
