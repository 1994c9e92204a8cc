"""Made-up drift of weights and of representations with known truth."""

import numpy as np
import pandas as pd

from retroscope.analyses.representations.result import CollectionDrift, RepresentationResult, TextMap
from retroscope.drift.result import RepresentationDrift, WeightDrift
from synthetic_subject import LAYERS

GEOMETRY = ("anisotropy", "uniformity", "effective_rank")


def cloud(n: int = 60, dim: int = 12, seed: int = 0, shift: float = 3.0) -> np.ndarray:
    """Anisotropic vectors, as those of language models are."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, dim)) * np.geomspace(1, 0.05, dim) + shift).astype(np.float32)


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


def text_map(text: str = "") -> TextMap:
    """Six queries, their relevant passages, and others; texts as given, or made up."""
    rng = np.random.default_rng(5)
    kinds = ["query"] * 6 + ["relevant"] * 6 + ["other"] * 8
    places = pd.DataFrame({"text_id": [f"{kind}-{i}" for i, kind in enumerate(kinds)], "kind": kinds})
    places["text"] = [text or f"text {i}" for i in range(len(kinds))]
    places[["before_x", "before_y", "after_x", "after_y"]] = rng.standard_normal((len(kinds), 4)).round(4)
    links = pd.DataFrame({"query_id": places["text_id"][:6], "passage_id": list(places["text_id"][6:12])})
    loss = {"queries": 6, "passages": 14, "of": 1200, "variance_before": 0.31, "variance_after": 0.24,
            "distances_before": 0.7, "distances_after": 0.6, "shift": 0.2}  # fmt: skip
    return TextMap(places, links, loss)


def mapped(text: str = "") -> RepresentationResult:
    """Return the drift of one collection, with its map."""
    return RepresentationResult((CollectionDrift("toy", representation_drift(), text_map=text_map(text)),))


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
