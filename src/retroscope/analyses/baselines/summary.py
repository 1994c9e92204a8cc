"""The baselines of a study: from per-query scores to what the report says."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from retroscope.analyses.baselines.result import BM25 as BM25_NAME
from retroscope.analyses.baselines.result import (
    CHOICE_COLUMNS,
    SHARE_COLUMNS,
    VARIANT_COLUMNS,
    BaselineFindings,
)
from retroscope.scores import Scores, align
from retroscope.statistics.clusters import clusters_by_row
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.ratio import ratio_of_means
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.summaries import summarise

BASELINES = "baselines"  # begins the name of every score, and names the facts
RANDOM = "random_weights"
MODELS = {"before": "before", "after": "after", RANDOM: "random weights"}  # as scores and as reports name them
VARIANTS = {model: f"{BASELINES}/{model}" for model in MODELS}
BESTS = {model: f"{BASELINES}/best_{model}" for model in MODELS}
SHUFFLED, BM25 = f"{BASELINES}/shuffled", f"{BASELINES}/bm25"
BASELINE_SCORES = (*VARIANTS.values(), *BESTS.values(), SHUFFLED, BM25)


def baseline_findings(
    scores: Mapping[str, Scores], facts: Mapping[str, Any], settings: ComparisonSettings
) -> BaselineFindings | None:
    """Return what the report says of the baselines; None where they were not measured."""
    if BESTS["before"] not in scores:
        return None
    best = {model: scores[name] for model, name in BESTS.items() if name in scores}
    after = _for_every_best(scores["after/retrieval"], best["before"])
    told = facts[BASELINES]
    per = replace(settings, family_per=("measure",))  # the bests of a measure are a family
    shuffled = scores.get(SHUFFLED)
    return BaselineFindings(
        variants=_variants(scores, settings),
        left=compare_scores(best["before"], after, per),
        alike=compare_scores(best["before"], best["after"], per),
        pre_training=compare_scores(best[RANDOM], best["before"], per) if RANDOM in best else None,
        shuffled=None if shuffled is None else _against_none(shuffled, settings),
        shares=pd.DataFrame(_shares(scores, best["before"], settings), columns=list(SHARE_COLUMNS)),
        choices=_choices(told["chosen"]),
        left_out=told["left_out"],
        tried=told["variants"],
    )


def _for_every_best(retrieval: Scores, best: Scores) -> Scores:
    """The retriever's scores, once for each best that they are held against."""
    names = best.values["best"].values
    wide = retrieval.values.expand_dims(best=names).transpose("query", "best", "measure")
    return replace(retrieval, values=wide)


def _against_none(shuffled: Scores, settings: ComparisonSettings) -> Difference:
    parts = [shuffled.select(vectors=kind) for kind in shuffled.values["vectors"].values]
    plain, headed = (replace(part, values=part.values.drop_vars("vectors")) for part in parts)
    return compare_scores(plain, headed, settings)


def _shares(scores: Mapping[str, Scores], best: Scores, settings: ComparisonSettings) -> Iterator[tuple[Any, ...]]:
    """What the best does not reach, as a part of the whole gain, for every best and measure."""
    before, after = align(scores["before/retrieval"], scores["after/retrieval"])
    ids, clusters = before.query_ids, clusters_by_row(before)
    for name in best.values["best"].values:
        for measure in before.values["measure"].values:
            one, two = (side.values.sel(measure=measure).values for side in (before, after))
            reached = best.values.sel(best=name, measure=measure, query=ids).values
            share = ratio_of_means(two - reached, two - one, settings.level, clusters)
            yield str(name), str(measure), share.value, share.low, share.high


def _variants(scores: Mapping[str, Scores], settings: ComparisonSettings) -> pd.DataFrame:
    """Mean and interval of every variant of every model, BM25 last."""
    frames = []
    for model, name in VARIANTS.items():
        if name in scores:
            table = summarise(scores[name], settings.intervals).to_dataframe().reset_index()
            frames.append(table.assign(model=MODELS[model]))
    words = summarise(scores[BM25], settings.intervals).to_dataframe().reset_index()
    frames.append(words.assign(model=BM25_NAME, pooling="", layer=-1, vectors=""))
    return pd.concat(frames, ignore_index=True)[list(VARIANT_COLUMNS)]


def _choices(chosen: list[dict[str, Any]]) -> pd.DataFrame:
    """How often each variant was chosen, the most frequent first."""
    frame = pd.DataFrame(chosen).assign(model=lambda f: f["model"].map(MODELS))
    labels = ["model", "best", "pooling", "layer", "vectors", "as_compared"]
    counted = frame.groupby(labels, sort=False).size().rename("folds").reset_index()
    of = frame.groupby(["model", "best"])["fold"].nunique()
    counted["of"] = [int(of[(m, b)]) for m, b in zip(counted["model"], counted["best"], strict=True)]
    return counted.sort_values("folds", ascending=False, kind="stable").reset_index(drop=True)[list(CHOICE_COLUMNS)]


def baseline_document(findings: BaselineFindings | None) -> dict[str, Any] | None:
    """Return the baselines for `summary.json`: every variant, the bests, what they leave, and the controls."""
    if findings is None:
        return None
    differences = {name: getattr(findings, name) for name in ("left", "alike", "pre_training", "shuffled")}
    return {
        "variants": findings.variants.replace({np.nan: None}).to_dict(orient="records"),
        "choices": findings.choices.to_dict(orient="records"),
        "shares": findings.shares.to_dict(orient="records"),
        **{n: None if d is None else d.to_frame().to_dict(orient="records") for n, d in differences.items()},
        "left_out": dict(findings.left_out),
    }
