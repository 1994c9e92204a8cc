"""Made-up retrieval with known truth, by the final vectors and by those of every layer."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import xarray as xr

from retroscope.analyses.layers.result import LayerEffects, LayerResult
from retroscope.analyses.retrieval.result import RankedPassage, RetrievalEffect, RetrievalResult, TopPassages
from retroscope.scores import Scores
from synthetic_subject import LAYERS, N_QUERIES, compare, query_ids


def retrieval_scores(gain: float = 0.12, seed: int = 0) -> tuple[Scores, Scores]:
    rng = np.random.default_rng(seed)
    rank = rng.integers(1, 9, N_QUERIES)
    better = np.where(
        rng.random(N_QUERIES) < 0.5 + 2 * gain, np.maximum(rank - rng.integers(0, 5, N_QUERIES), 1), rank + 1
    )
    better = rank if gain == 0 else better
    before, after = (
        Scores("retrieval", xr.DataArray(
            np.stack([1 / np.log2(1 + r), 1 / r, (r <= 5).astype(float)], axis=1),
            coords={"query": query_ids(), "measure": ["nDCG@10", "RR", "R@5"]}, dims=("query", "measure"),
        ))
        for r in (rank, better)
    )  # fmt: skip
    return before, after


def layer_scores(seed: int = 1) -> tuple[Scores, Scores]:
    rng = np.random.default_rng(seed)
    coords = {"query": query_ids(), "layer": list(LAYERS), "measure": ["nDCG@10"]}
    means = (np.linspace(0.25, 0.3, 7), np.r_[np.linspace(0.25, 0.34, 6), 0.62])
    before, after = (
        Scores("layer retrieval", xr.DataArray(
            np.clip(m[None, :, None] + 0.2 * rng.standard_normal((N_QUERIES, 7, 1)), 0, 1), coords=coords,
            dims=("query", "layer", "measure"),
        ))
        for m in means
    )  # fmt: skip
    return before, after


def top_passages() -> TopPassages:
    passage = RankedPassage("p1", "The Suez Canal opened in 1869 after ten years of work.", 0.81, True)
    other = RankedPassage("p2", "The Panama Canal opened in 1914.", 0.74, False)
    return TopPassages(before=(other, passage), after=(passage, other))


def retrieval_result(**changes: Any) -> RetrievalResult:
    if "effect" in changes:
        changes["by_collection"] = (RetrievalEffect("toy", changes.pop("effect")),)
    return replace(_whole(), **changes)


@cache
def _whole() -> RetrievalResult:
    ids = query_ids()
    return RetrievalResult(
        by_collection=(RetrievalEffect("toy", compare(*retrieval_scores())),),
        headline="nDCG@10",
        flip_measure="RR",
        query_texts={q: f"when did event number {i} happen and who was there" for i, q in enumerate(ids)},
        top_passages={q: top_passages() for q in ids[::3]},
    )


@cache
def layer_result(seed: int = 1) -> LayerResult:
    return LayerResult((LayerEffects("toy", compare(*layer_scores(seed))),))
