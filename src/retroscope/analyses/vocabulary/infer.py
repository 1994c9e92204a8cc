"""Infer what fine-tuning changed in what vectors say, and whether that explains which queries flipped."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy import stats

from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval.result import RetrievalResult
from retroscope.analyses.section import Reading
from retroscope.analyses.vocabulary.result import OVERLAP, SHUFFLED, Explained, VocabularyResult
from retroscope.scores import Scores
from retroscope.statistics import Difference
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL

FEWEST = 10  # queries without which a rank correlation is not computed


def infer(measurements: Sequence[Measurement], reading: Reading) -> VocabularyResult | None:
    """Return what the vectors say, before and after, and what its change explains."""
    if not measurements:
        return None
    one, statistics = measurements[0], reading.subject.paired_statistics
    scores = {side: one.scores[side] for side in (BEFORE, AFTER, MODEL) if side in one.scores}
    settings = replace(statistics, family_per=("quantity",))
    pair = BEFORE in scores and AFTER in scores
    retrieved = reading.result("retrieval", RetrievalResult)
    measure = "" if retrieved is None else retrieved.flip_measure
    explained = tuple(_explained(scores, retrieved, statistics)) if pair and retrieved is not None else ()
    return VocabularyResult(
        one.collection,
        int(one.facts["k"]),
        bool(one.facts["centred"]),
        scores,
        compare_scores(scores[BEFORE], scores[AFTER], settings) if pair else None,
        {side: _beyond(values, statistics) for side, values in scores.items()},
        explained,
        measure,
        one.frames["says"],
    )


def _beyond(scores: Scores, statistics: ComparisonSettings) -> Difference:
    """Compare the overlap of relevant pairs with that of shuffled ones."""
    settings = replace(statistics, family_per=(), margin=None)
    relevant, shuffled = (replace(scores.select(quantity=name), name="overlap") for name in (OVERLAP, SHUFFLED))
    return compare_scores(shuffled, relevant, settings)


def _explained(
    scores: Mapping[str, Scores], retrieved: RetrievalResult, statistics: ComparisonSettings
) -> Iterator[Explained]:
    """Correlate the change of the overlap at the last layer with the change of retrieval, query by query."""
    sides = {
        BEFORE: retrieved.effect.before.select(measure=retrieved.flip_measure).values,
        AFTER: retrieved.effect.after.select(measure=retrieved.flip_measure).values,
    }
    last = {side: scores[side].values.isel(layer=-1) for side in sides}
    ids = [i for i in scores[AFTER].query_ids if i in {*map(str, sides[AFTER]["query"].values)}]
    flipped = (sides[AFTER].sel(query=ids) - sides[BEFORE].sel(query=ids)).values
    for pairs in (OVERLAP, SHUFFLED):
        change = (last[AFTER] - last[BEFORE]).sel(query=ids, quantity=pairs).values
        known = np.isfinite(change) & np.isfinite(flipped)
        if known.sum() >= FEWEST:
            yield correlated(pairs, change[known], flipped[known], statistics)


def correlated(
    pairs: str, change: Float[np.ndarray, "query"], flipped: Float[np.ndarray, "query"], statistics: ComparisonSettings
) -> Explained:
    """Return Spearman's correlation of two changes, with a bootstrap interval over queries and a permutation test.

    Ranks are taken once; where a side does not change at all, the correlation is 0.
    """
    x, y = (stats.rankdata(one) - (len(one) + 1) / 2 for one in (change, flipped))
    rho = _correlation(x[None], y[None])[0]
    rng = np.random.default_rng(statistics.seed)
    drawn = rng.integers(0, len(x), (statistics.resamples, len(x)))
    low, high = np.quantile(_correlation(x[drawn], y[drawn]), [(1 - statistics.level) / 2, (1 + statistics.level) / 2])
    shuffled = np.array([rng.permutation(y) for _ in range(statistics.resamples)])
    as_large = np.abs(_correlation(np.broadcast_to(x, shuffled.shape), shuffled)) >= abs(rho) - 1e-12
    p = (1 + as_large.sum()) / (1 + len(as_large))
    return Explained(pairs, float(rho), float(low), float(high), float(p), len(x))


def _correlation(x: Float[np.ndarray, "draw query"], y: Float[np.ndarray, "draw query"]) -> Float[np.ndarray, "draw"]:
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    size = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.asarray(np.divide((x * y).sum(axis=1), size, out=np.zeros(len(x)), where=size > 0))
