"""Compute intervals, tests and shares of the gain from the retrieval scores of the retriever and its baselines."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from retroscope.analyses.baselines.result import BM25 as BM25_NAME
from retroscope.analyses.baselines.result import CHOICE_COLUMNS, SHARE_COLUMNS, VARIANT_COLUMNS, BaselineResult
from retroscope.analyses.measurement import Measurement
from retroscope.scores import Scores, align
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.ratio import ratio_of_means
from retroscope.statistics.resampling.clusters import clusters_by_row
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.summaries import summarise

RANDOM = "random_weights"
MODELS = {"before": "before", "after": "after", RANDOM: "random weights"}  # as scores and as reports name them
VARIANTS = {model: f"variants/{model}" for model in MODELS}
BESTS = {model: f"best/{model}" for model in MODELS}
SHUFFLED, BM25 = "shuffled", "bm25"


def baseline_result(measurement: Measurement, gain: Difference, settings: ComparisonSettings) -> BaselineResult:
    """Compare the retriever with the best variants of the frozen backbone, e.g. another layer or whitened vectors.

    Return intervals, tests and shares of the gain.

    Args:
        measurement: scores by the names `VARIANTS`, `BESTS`, `SHUFFLED` and `BM25`, e.g. "best/before"; facts
            `choices`, `left_out` and `tried`.
        gain: effect of fine-tuning on every `measure`, from the study's main comparison of the two models.
        settings: how differences are tested.
    """
    scores = measurement.scores
    best = {model: scores[name] for model, name in BESTS.items() if name in scores}
    after = _for_every_best(gain.after, best["before"])
    per = replace(settings, family_per=("measure",))  # the bests of a measure are a family
    shuffled = scores.get(SHUFFLED)
    return BaselineResult(
        gain=gain,
        variants=_variants(scores, settings),
        left=compare_scores(best["before"], after, per),
        alike=compare_scores(best["before"], best["after"], per),
        pre_training=compare_scores(best[RANDOM], best["before"], per) if RANDOM in best else None,
        shuffled=None if shuffled is None else _against_none(shuffled, settings),
        shares=pd.DataFrame(_shares(gain, best["before"], settings), columns=list(SHARE_COLUMNS)),
        choices=_choices(measurement.facts["choices"]),
        left_out=measurement.facts["left_out"],
        tried=measurement.facts["tried"],
    )


def _for_every_best(retrieval: Scores, best: Scores) -> Scores:
    """Repeat the retriever's scores along a dimension `best`, once for each best variant of the backbone."""
    names = best.values["best"].values
    wide = retrieval.values.expand_dims(best=names).transpose("query", "best", "measure")
    return replace(retrieval, values=wide)


def _against_none(shuffled: Scores, settings: ComparisonSettings) -> Difference:
    parts = [shuffled.select(vectors=kind) for kind in shuffled.values["vectors"].values]
    plain, headed = (replace(part, values=part.values.drop_vars("vectors")) for part in parts)
    return compare_scores(plain, headed, settings)


def _shares(gain: Difference, best: Scores, settings: ComparisonSettings) -> Iterator[tuple[Any, ...]]:
    """Yield best variant, measure, share of the gain that the variant does not reach, and both ends of its interval."""
    before, after = align(gain.before, gain.after)
    ids, clusters = before.query_ids, clusters_by_row(before)
    for name in best.values["best"].values:
        for measure in before.values["measure"].values:
            one, two = (side.values.sel(measure=measure).values for side in (before, after))
            reached = best.values.sel(best=name, measure=measure, query=ids).values
            share = ratio_of_means(two - reached, two - one, settings.level, clusters)
            yield str(name), str(measure), share.value, share.low, share.high


def _variants(scores: Mapping[str, Scores], settings: ComparisonSettings) -> pd.DataFrame:
    """Return the mean score and interval by model, pooling, layer and kind of vectors; the last rows are BM25."""
    frames = []
    for model, name in VARIANTS.items():
        if name in scores:
            table = summarise(scores[name], settings.intervals).to_dataframe().reset_index()
            frames.append(table.assign(model=MODELS[model]))
    words = summarise(scores[BM25], settings.intervals).to_dataframe().reset_index()
    frames.append(words.assign(model=BM25_NAME, pooling="", layer=-1, vectors=""))
    return pd.concat(frames, ignore_index=True)[list(VARIANT_COLUMNS)]


def _choices(by_fold: list[dict[str, Any]]) -> pd.DataFrame:
    """Count the folds that chose each variant (pooling, layer, vectors), by model and `best`, most frequent first."""
    frame = pd.DataFrame(by_fold).assign(model=lambda f: f["model"].map(MODELS))
    labels = ["model", "best", "pooling", "layer", "vectors", "as_compared"]
    counted = frame.groupby(labels, sort=False).size().rename("folds").reset_index()
    of = frame.groupby(["model", "best"])["fold"].nunique()
    counted["of"] = [int(of[(m, b)]) for m, b in zip(counted["model"], counted["best"], strict=True)]
    return counted.sort_values("folds", ascending=False, kind="stable").reset_index(drop=True)[list(CHOICE_COLUMNS)]
