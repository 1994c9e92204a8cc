"""Made-up drift of weights and of representations with known truth."""

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.section import Reading
from retroscope.drift.result import RepresentationDrift, WeightDrift
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, Difference, compare_scores
from retroscope.typesetting.subject import CollectionFacts, Model, Subject, Tower

N_QUERIES = 240
LAYERS = tuple(range(7))
LABELS = (*map(str, LAYERS[:-1]), "6 (post-norm)")
GEOMETRY = ("anisotropy", "uniformity", "effective_rank")


def reading_of(**results: object) -> Reading:
    """Return a reading of a pair of toys on two collections."""
    towers = (Tower("query and passage", {}, {}, LABELS, ""),)
    models = {"before": Model("toy-backbone", "cosine", towers), "after": Model("toy-retriever", "cosine", towers)}
    collections = (CollectionFacts("toy", "beir:data/toy", {}), CollectionFacts("other", "beir:data/other", {}))
    statistics = ComparisonSettings(margin=0.01, resamples=400)
    return Reading(Subject("toys", models, collections, measures=("nDCG@10", "RR", "R@5"), statistics=statistics),
                   results)  # fmt: skip


def weight_drift() -> WeightDrift:
    """One matrix changed, the output of the FFN of block 4."""
    tensors = pd.DataFrame([
        {"name": f"layers.{k}.{part}", "layer": k, "part": part, "rows": 8, "columns": 8, "parameters": 64,
         "status": "changed" if (k, part) == (4, "ffn_out") else "identical", "norm": 2.0,
         "change": 1.0 * ((k, part) == (4, "ffn_out")), "relative": 0.5 * ((k, part) == (4, "ffn_out")),
         "largest": 0.1, "equal": 0.0}
        for k in LAYERS[1:] for part in ("attention", "ffn_in", "ffn_out")
    ])  # fmt: skip
    return WeightDrift(tensors, (), "toy-backbone", "toy-retriever", LAYERS[-1])


def representation_drift(random_weights: float = 0.2, other_training: float = float("nan")) -> RepresentationDrift:
    """Alike at the bottom, apart at the top."""
    similarity = [
        {"tower": tower, "layer": k, "statistic": name, "value": 1 - 0.1 * k, "low": 0.98 - 0.1 * k,
         "high": min(1.0, 1.02 - 0.1 * k), "chance": 0.0, "halves": 0.9, "other_training": other_training,
         "random_weights": random_weights}
        for tower in ("query", "passage") for name in ("cka", "procrustes", "rsa", "neighbours") for k in LAYERS
    ]  # fmt: skip
    geometry = [
        {"side": side, "tower": tower, "layer": k, "statistic": name, "value": value, "low": value - 0.01,
         "high": value + 0.01}
        for side, value in (("before", 0.6), ("after", 0.2))
        for tower, names in (("query", GEOMETRY), ("passage", GEOMETRY), ("both", ("alignment",)))
        for name in names for k in LAYERS
    ]  # fmt: skip
    layer_map = [{"tower": tower, "layer_before": i, "layer_after": j, "cka": 1 - abs(i - j) / 10}
                 for tower in ("query", "passage") for i in LAYERS for j in LAYERS]  # fmt: skip
    frames = (pd.DataFrame(similarity), pd.DataFrame(geometry), pd.DataFrame(layer_map))
    return RepresentationDrift(*frames, {"query": 240, "passage": 1000})


def retrieval_scores(gain: float = 0.12, seed: int = 0) -> tuple[Scores, Scores]:
    """Return scores of both sides by measure, of which the second is better."""
    rng = np.random.default_rng(seed)
    rank = rng.integers(1, 9, N_QUERIES)
    better = np.where(
        rng.random(N_QUERIES) < 0.5 + 2 * gain, np.maximum(rank - rng.integers(0, 5, N_QUERIES), 1), rank + 1
    )
    coords = {"query": [f"q{i}" for i in range(N_QUERIES)], "measure": ["nDCG@10", "RR", "R@5"]}
    before, after = (np.stack([1 / np.log2(1 + r), 1 / r, (r <= 5).astype(float)], axis=1) for r in (rank, better))
    one, two = (Scores("retrieval", xr.DataArray(v, coords, ("query", "measure"))) for v in (before, after))
    return one, two


def retrieval_effect(gain: float = 0.12, seed: int = 0) -> Difference:
    """Return the paired difference of `retrieval_scores`."""
    return compare_scores(*retrieval_scores(gain, seed), ComparisonSettings(margin=0.01, resamples=400))
