"""Measure on a few queries how a lower precision changes the effect of transplanting all weights."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from retroscope.analyses.transplants.hybrids.scores import Sweep, hybrid_scores, tokenised
from retroscope.encoders.precision import EXACT, PrecisionEffect, precision_effect
from retroscope.inputs.sampled import FEWEST, sampled


def pilot(sweep: Sweep) -> PrecisionEffect | None:
    """Measure how a lower precision changes the effect of transplanting all weights. Return None for float32.

    The effect is that on the headline measure, over a few queries.

    Raises:
        SettingsError: if the precision changes the effect by more than is allowed.
    """
    if sweep.settings.precision == EXACT:
        return None
    collection = sampled(sweep.collection, sweep.collection.judged_queries, FEWEST, sweep.settings.seed)
    few = replace(sweep, collection=collection, names=("none", "all"), stage="transplants: pilot")
    quantity = f"effect of all weights on {sweep.measures[0]}"
    exact, reduced = (_effect(few, precision) for precision in (EXACT, sweep.settings.precision))
    return precision_effect(sweep.settings.precision, quantity, exact, reduced, where=sweep.pair[1].name)


def _effect(sweep: Sweep, precision: str) -> Float[np.ndarray, "query"]:
    """Return the effect of transplanting all weights on each query, in the first direction, at a precision."""
    direction = sweep.settings.directions[0]
    settings = replace(sweep.settings, precision=precision, directions=(direction,))
    intact, hybrids = hybrid_scores(tokenised(replace(sweep, settings=settings)))[direction]
    change = (hybrids.values - intact.values).sel(transplant="all", measure=sweep.measures[0])
    return np.asarray(change.values, dtype=np.float64)
