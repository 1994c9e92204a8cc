"""Per-query scores with random changes of equal size: the control that a transplant must beat."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from retroscope.analyses.transplants.controls import claimed_places
from retroscope.analyses.transplants.hybrid_scores import Sweep, hybrid_scores
from retroscope.scores import Scores
from retroscope.statistics.difference import Difference
from retroscope.surgery.transplant import RANDOM


def random_scores(sweep: Sweep, differences: Mapping[str, Difference]) -> dict[str, Scores]:
    """Return, for each direction, the claimed places changed at random, by (query, transplant, draw, measure)."""
    scores = {}
    for direction, difference in differences.items():
        places = claimed_places(difference)
        if places and sweep.settings.draws:
            scores[direction] = _drawn(sweep, direction, places)
    return scores


def _drawn(sweep: Sweep, direction: str, places: Sequence[str]) -> Scores:
    numbers = [sweep.settings.seed + k for k in range(sweep.settings.draws)]
    settings = replace(sweep.settings, directions=(direction,))
    draws = []
    for number in numbers:
        names = tuple(f"{RANDOM}:{number}:{place}" for place in places)
        stage = f"random change {number} ({direction})"
        _, scores = hybrid_scores(replace(sweep, names=("none", *names), settings=settings, stage=stage))[direction]
        draws.append(scores.values.assign_coords(transplant=list(places)))
    values = xr.concat(draws, dim=xr.Variable("draw", numbers))
    ordered = values.transpose("query", "transplant", "draw", "measure")
    kept = ordered.copy(data=np.ascontiguousarray(ordered.values))  # as it is read again: sums agree to the last bit
    return replace(scores, name="random changes", values=kept, recipe={"direction": direction})
