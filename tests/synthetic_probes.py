"""Made-up probes with known truth: what is read grows after fine-tuning from layer 2 on; every control is at chance."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.probes.result import ProbesResult
from retroscope.scores import Scores
from synthetic_subject import LAYERS, N_QUERIES, compare, query_ids

PROBES = ("dot", "cosine", "passage_only", "elementwise", "bilinear", "mean_difference")
CONTROLS = ("none", "shuffled_queries", "hash_labels", "random_weights")
PASSAGES = (2, 5)
Accuracy = Callable[[str, str, int, int, str], float]  # of a probe, control, N, layer and side


def accuracy(probe: str, control: str, n: int, layer: int, side: str) -> float:
    chance = 1 / n
    if control in ("shuffled_queries", "hash_labels"):
        return chance
    if control == "random_weights":
        return chance + 0.02
    if probe == "passage_only":
        return chance + 0.07
    base = chance + 0.35 * (1 - chance)
    return base + (0.05 * layer if side == "after" and layer >= 2 else 0) * (1 - base) * 3


def probe_scores(
    seed: int = 2,
    accuracy: Accuracy = accuracy,
    controls: Sequence[str] = CONTROLS,
    probes: Sequence[str] = PROBES,
) -> tuple[Scores, Scores]:
    rng = np.random.default_rng(seed)
    shape = (N_QUERIES, len(probes), len(controls), len(PASSAGES), len(LAYERS))
    luck = rng.random(shape)  # the same luck on both sides: the sides are paired
    coords = {"query": query_ids(), "probe": list(probes), "control": list(controls), "passages": list(PASSAGES),
              "layer": list(LAYERS)}  # fmt: skip
    sides = []
    for side in ("before", "after"):
        p = np.array(
            [[[[accuracy(a, c, n, k, side) for k in LAYERS] for n in PASSAGES] for c in controls] for a in probes]
        )
        sides.append(Scores("probing", xr.DataArray((luck < p).astype(float), coords=coords, dims=tuple(coords))))
    before, after = sides
    return before, after


def spread() -> pd.DataFrame:
    return pd.DataFrame(
        [
            (s, "elementwise", control, n, k, 0.004 + 0.001 * k, train)
            for control, train in (("none", 0.9), ("hash_labels", 0.62))
            for s in ("before", "after")
            for n in PASSAGES
            for k in LAYERS
        ],
        columns=["side", "probe", "control", "n_passages", "layer", "sd", "train_accuracy"],
    )


def probes_result(**changes: Any) -> ProbesResult:
    return replace(_whole(), **changes)


@cache
def _whole() -> ProbesResult:
    return ProbesResult("cosine", compare(*probe_scores()), seed_spread=spread())
