"""Made-up transplants with known truth: hybrids score .8 with the retriever's weights and .2 with the backbone's."""

import numpy as np
import xarray as xr

from retroscope.analyses.transplants.infer import TransplantScores, effects_of
from retroscope.analyses.transplants.result import TransplantEffects, TransplantResult
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings
from synthetic_subject import LAYERS, query_ids

STATISTICS = ComparisonSettings(resamples=200)
BLOCKS = LAYERS[1:]
PARTS = ("attention", "ffn_in", "ffn_out")


def transplant_effects(needed: str | None, suffices: str | None, noise: float = 0.05) -> TransplantEffects:
    """Return effects in which one place makes all of the total effect, restored (`needed`) or grafted (`suffices`)."""
    names = (*(f"block:{k}" for k in BLOCKS), *PARTS, "all")
    measured = {}
    for direction, intact, other, decisive in (("restored", 0.8, 0.2, needed), ("grafted", 0.2, 0.8, suffices)):
        rng = np.random.default_rng(0)
        means = np.array([other if name in ("all", decisive) else intact for name in names])
        shape = (len(query_ids()), len(names), 1)
        values = np.clip(means[None, :, None] + noise * rng.standard_normal(shape), 0, 1)
        coords = {"query": query_ids(), "transplant": list(names), "measure": ["RR@10"]}
        hybrids = xr.DataArray(values, coords, ("query", "transplant", "measure"))
        still = xr.zeros_like(hybrids) + intact + 0.02 * rng.standard_normal((shape[0], 1, 1))
        measured[direction] = (Scores("transplants", still, {}), Scores("transplants", hybrids, {}))
    return effects_of(TransplantScores(measured), "toy", BLOCKS[-1], STATISTICS)


def transplant_result(needed: str | None, suffices: str | None) -> TransplantResult:
    """Return the same as the result on one collection."""
    return TransplantResult((transplant_effects(needed, suffices),))
