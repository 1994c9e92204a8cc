"""Made-up retrieval with known truth, by the final vectors and by those of every layer."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.layers.result import LayerEffects, LayerResult, Similarities
from retroscope.analyses.retrieval.result import QueryRankings, RetrievalEffect, RetrievalResult
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


RIGHT, WRONG = "The Suez Canal opened in 1869 after ten years of work.", "The Panama Canal opened in 1914."


def rankings(text: str = "", passage: str = "", listed: int = N_QUERIES) -> QueryRankings:
    """Return ranks of `retrieval_scores`, and the same two passages for every query; texts as given, or made up."""
    ids = query_ids()
    ranks = [np.rint(1 / scores.select(measure="RR").values.values).astype(int) for scores in retrieval_scores()]
    texts = [text or f"when did event number {i} happen and who was there" for i, _ in enumerate(ids)]
    queries = pd.DataFrame(
        {
            "query_id": ids,
            "text": texts,
            "words": [len(text.split()) for text in texts],
            "rank_before": ranks[0],
            "rank_after": ranks[1],
        }
    )
    found = {"before": ("p2", "p1"), "after": ("p1", "p2")}
    hits = [
        (one, side, rank, passage_id, 0.9 - rank / 10, passage_id == "p1")
        for one in ids[:listed]
        for side, ranking in found.items()
        for rank, passage_id in enumerate(ranking, start=1)
    ]
    columns = ["query_id", "side", "rank", "passage_id", "score", "relevant"]
    passages = pd.DataFrame({"passage_id": ["p1", "p2"], "text": [passage or RIGHT, passage or WRONG]})
    return QueryRankings(queries, pd.DataFrame(hits, columns=columns), passages, 10)


def retrieval_result(**changes: Any) -> RetrievalResult:
    known = _whole().by_collection[0]
    if {"effect", "rankings"} & set(changes):
        effect, found = changes.pop("effect", known.effect), changes.pop("rankings", known.rankings)
        changes["by_collection"] = (RetrievalEffect("toy", effect, found),)
    return replace(_whole(), **changes)


@cache
def _whole() -> RetrievalResult:
    return RetrievalResult(
        by_collection=(RetrievalEffect("toy", compare(*retrieval_scores()), rankings()),),
        headline="nDCG@10",
        flip_measure="RR",
    )


@cache
def layer_result(seed: int = 1) -> LayerResult:
    places = [(query, layer) for query in query_ids() for layer in LAYERS]
    ranks = pd.DataFrame(places, columns=["query", "layer"]).assign(before=lambda f: f["layer"] + 2, after=1)
    effect = compare(*layer_scores(seed))
    return LayerResult((LayerEffects("toy", effect, first_ranks=ranks, similarities=_similarities()),))


def _similarities() -> Similarities:
    """Ten bins a layer and side; after fine-tuning, relevant passages are in higher ones."""
    counts = pd.DataFrame([
        {"side": side, "layer": layer, "passages": kind, "low": i / 10, "high": (i + 1) / 10,
         "count": int(100 * np.exp(-((i - centre - moves * layer * (side == "after")) ** 2) / 4))}
        for side in ("before", "after") for layer in LAYERS
        for kind, centre, moves in (("relevant", 3, 1), ("other", 2, 0)) for i in range(10)
    ])  # fmt: skip
    above = pd.DataFrame([{"side": side, "layer": layer, "above": 0.5 + 0.05 * layer * (side == "after")}
                          for side in ("before", "after") for layer in LAYERS])  # fmt: skip
    return Similarities(counts, above, N_QUERIES, 700)
