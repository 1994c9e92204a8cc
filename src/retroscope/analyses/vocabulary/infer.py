"""Test how fine-tuning changed the words that vectors decode to, and whether this correlates with retrieval."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import stats

from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval.result import RetrievalResult
from retroscope.analyses.section import Reading
from retroscope.analyses.vocabulary.result import DIFFERENCE, OVERLAP, SHUFFLED, RankCorrelation, VocabularyResult
from retroscope.scores import Scores
from retroscope.statistics import Difference
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.resampling.clusters import text_clusters
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL

FEWEST = 10  # distinct texts without which a rank correlation is not computed


def infer(measurements: Sequence[Measurement], reading: Reading) -> VocabularyResult | None:
    """Test how the shares of decoded words changed, and how the change of their overlap correlates with retrieval."""
    if not measurements:
        return None
    one, statistics = measurements[0], reading.subject.paired_statistics
    scores = {side: one.scores[side] for side in (BEFORE, AFTER, MODEL) if side in one.scores}
    settings = replace(statistics, family_per=("quantity",))
    pair = BEFORE in scores and AFTER in scores
    retrieved = reading.result("retrieval", RetrievalResult)
    measure = "" if retrieved is None else retrieved.flip_measure
    correlations = _associated(scores, retrieved, statistics) if pair and retrieved is not None else ()
    return VocabularyResult(
        one.collection,
        int(one.facts["k"]),
        bool(one.facts["centred"]),
        scores,
        compare_scores(scores[BEFORE], scores[AFTER], settings) if pair else None,
        {side: _beyond(values, statistics) for side, values in scores.items()},
        correlations,
        measure,
        one.frames["says"],
        _gain(scores, statistics) if pair else None,
    )


def _beyond(scores: Scores, statistics: ComparisonSettings) -> Difference:
    """Compare, in one model, the word overlap of relevant pairs (query, passage) with that of shuffled pairs."""
    settings = replace(statistics, family_per=(), margin=None)
    relevant, shuffled = (replace(scores.select(quantity=name), name="overlap") for name in (OVERLAP, SHUFFLED))
    return compare_scores(shuffled, relevant, settings)


def _gain(scores: Mapping[str, Scores], statistics: ComparisonSettings) -> Difference:
    """Compare the overlap of relevant pairs minus that of shuffled pairs, before and after fine-tuning."""
    settings = replace(statistics, family_per=(), margin=None)
    beyond = {
        side: replace(one.select(quantity=OVERLAP), name="overlap beyond shuffled", values=_less_shuffled(one))
        for side, one in scores.items()
    }
    return compare_scores(beyond[BEFORE], beyond[AFTER], settings)


def _less_shuffled(scores: Scores) -> xr.DataArray:
    return scores.values.sel(quantity=OVERLAP, drop=True) - scores.values.sel(quantity=SHUFFLED, drop=True)


def _associated(
    scores: Mapping[str, Scores], retrieved: RetrievalResult, statistics: ComparisonSettings
) -> tuple[RankCorrelation, ...]:
    """Correlate the change of the word overlap at the last layer with the change of retrieval, over query texts."""
    sides = {
        BEFORE: retrieved.effect.before.select(measure=retrieved.flip_measure).values,
        AFTER: retrieved.effect.after.select(measure=retrieved.flip_measure).values,
    }
    last = {side: scores[side].values.sel(layer=scores[side].values["layer"].max()) for side in sides}
    ids = [i for i in scores[AFTER].query_ids if i in {*map(str, sides[AFTER]["query"].values)}]
    flipped = (sides[AFTER].sel(query=ids) - sides[BEFORE].sel(query=ids)).values
    change = last[AFTER].sel(query=ids) - last[BEFORE].sel(query=ids)
    overlap, shuffled = (change.sel(quantity=pairs).values for pairs in (OVERLAP, SHUFFLED))
    table = np.stack([overlap, shuffled, flipped], axis=1)
    known = np.isfinite(table).all(axis=1)
    clusters = text_clusters(last[AFTER].sel(query=ids)).only(known)
    if clusters.n_texts < FEWEST:
        return ()
    means = clusters.sums(table[known]) / clusters.sizes(table[known])
    return associated(means[:, 0], means[:, 1], means[:, 2], statistics)


def associated(
    overlap: Float[np.ndarray, "text"],
    shuffled: Float[np.ndarray, "text"],
    flipped: Float[np.ndarray, "text"],
    statistics: ComparisonSettings,
) -> tuple[RankCorrelation, RankCorrelation, RankCorrelation]:
    """Return the rank correlation between the change of word overlap and the change of retrieval, with a control.

    The three results are the correlation for relevant pairs of query and passage, that for shuffled pairs (the
    control), and the difference of both.

    Queries of one text are one observation. Intervals resample texts, with the same resamples for all three. The p of a
    correlation comes from a permutation test, that of the difference from the bootstrap. Ranks are computed once. If a
    change is the same for all texts, its correlation is 0.
    """
    x, control, y = (stats.rankdata(one) - (len(one) + 1) / 2 for one in (overlap, shuffled, flipped))
    rng = np.random.default_rng(statistics.seed)
    drawn = rng.integers(0, len(y), (statistics.resamples, len(y)))
    permuted = np.array([rng.permutation(y) for _ in range(statistics.resamples)])
    resampled, values, p = [], [], []
    for one in (x, control):
        values.append(float(_correlation(one[None], y[None])[0]))
        resampled.append(_correlation(one[drawn], y[drawn]))
        as_large = np.abs(_correlation(np.broadcast_to(one, permuted.shape), permuted)) >= abs(values[-1]) - 1e-12
        p.append(float((1 + as_large.sum()) / (1 + len(as_large))))
    resampled.append(resampled[0] - resampled[1])
    values.append(values[0] - values[1])
    beyond = min((resampled[2] <= 0).sum(), (resampled[2] >= 0).sum())
    p.append(min(1.0, float(2 * (1 + beyond) / (1 + len(drawn)))))
    tails = [(1 - statistics.level) / 2, (1 + statistics.level) / 2]
    low, high = np.quantile(np.stack(resampled), tails, axis=1)
    real, control_, difference = (
        RankCorrelation(pairs, values[k], float(low[k]), float(high[k]), p[k], len(y))
        for k, pairs in enumerate((OVERLAP, SHUFFLED, DIFFERENCE))
    )
    return real, control_, difference


def _correlation(x: Float[np.ndarray, "draw text"], y: Float[np.ndarray, "draw text"]) -> Float[np.ndarray, "draw"]:
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    size = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.asarray(np.divide((x * y).sum(axis=1), size, out=np.zeros(len(x)), where=size > 0))
