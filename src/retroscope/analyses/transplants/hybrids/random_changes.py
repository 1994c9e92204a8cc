"""Measure retrieval after random weight changes of equal size, the control for transplants."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from retroscope.analyses.transplants.controls import claimed_places, open_places
from retroscope.analyses.transplants.hybrids.scores import Sweep, hybrid_scores
from retroscope.scores import Scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.testing.sequential import looks
from retroscope.surgery.transplant import RANDOM

ORDER = ("query", "transplant", "draw", "measure")


def random_scores(
    sweep: Sweep, differences: Mapping[str, Difference], statistics: ComparisonSettings
) -> dict[str, Scores]:
    """Return direction -> scores of `random_changes`, as a control of transplants with significant effects."""
    scores = {}
    for direction, difference in differences.items():
        places = claimed_places(difference)
        if places and sweep.settings.draws:
            named = replace(sweep, stage="random change")
            scores[direction] = random_changes(named, difference, direction, places, statistics)
    return scores


def random_changes(
    sweep: Sweep, difference: Difference, direction: str, places: Sequence[str], statistics: ComparisonSettings
) -> Scores:
    """Return retrieval scores after random changes of some blocks, groups or parts, (query, transplant, draw, measure).

    Half of the draws are made for every place, the other half only for places whose test is then undecided. Scores of
    draws that were not made are NaN.

    Args:
        sweep: the transplants. Progress is reported under its `stage` and the number of the draw.
        difference: tested effects of the transplants of these places.
    """
    numbers = [sweep.settings.seed + k for k in range(sweep.settings.draws)]
    first, *later = looks(len(numbers))
    scores = _among(places, numbers, _drawn(sweep, direction, places, numbers[: first.draws]))
    done = first.draws
    for look in later:
        still_open = open_places(difference, scores, statistics)
        if not still_open:
            break
        more = _among(places, numbers, _drawn(sweep, direction, still_open, numbers[done : look.draws]))
        done = look.draws
        scores = replace(scores, values=scores.values.fillna(more.values))
    return scores


def _among(places: Sequence[str], numbers: Sequence[int], drawn: Scores) -> Scores:
    """Expand the scores of some draws and places (blocks, parts) to all of them. Missing scores are NaN."""
    values = drawn.values.reindex(transplant=list(places), draw=list(numbers))
    ordered = values.transpose(*ORDER)
    kept = ordered.copy(data=np.ascontiguousarray(ordered.values))  # as it is read again: sums agree to the last bit
    return replace(drawn, values=kept)


def _drawn(sweep: Sweep, direction: str, places: Sequence[str], numbers: Sequence[int]) -> Scores:
    """Return the scores after random changes of each place (block, group or part), for the draws with these numbers."""
    settings = replace(sweep.settings, directions=(direction,))
    draws = []
    for number in numbers:
        names = tuple(f"{RANDOM}:{number}:{place}" for place in places)
        stage = f"{sweep.stage} {number} ({direction})"
        _, scores = hybrid_scores(replace(sweep, names=("none", *names), settings=settings, stage=stage))[direction]
        draws.append(scores.values.assign_coords(transplant=list(places)))
    values = xr.concat(draws, dim=xr.Variable("draw", list(numbers))).transpose(*ORDER)
    return replace(scores, name="random changes", values=values, recipe={"direction": direction})
