"""Convert attributed neurons to the arrays and tables that a `Measurement` stores, and back. No torch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pandas as pd
import xarray as xr

from retroscope.analyses.measurement import Measurement
from retroscope.analyses.neurons.result import AblationCurves, AblationRecipe, AttributedModel
from retroscope.attribution.result import AGGREGATES, AttributionCounts, AttributionRecipe, NeuronAttribution
from retroscope.scores import Scores

TOWERS, OVERLAP, PLAN = "towers", "overlap", "plan"
ATTRIBUTION, ABLATION, INTACT, AREAS = "attribution", "ablation", "intact", "areas"
AttributedTowers = Mapping[str, Mapping[str, AttributedModel]]  # tower -> side -> its neurons


def stored(
    towers: AttributedTowers,
    overlaps: Mapping[str, pd.DataFrame],
    *,
    plan: AttributionCounts | None = None,
    caveats: tuple[str, ...] = (),
    seconds: Mapping[str, float] | None = None,
) -> Measurement:
    """Return the measurement that holds these neurons. Its names begin with "TOWER/SIDE/".

    Args:
        towers: the main tower comes first.
        overlaps: tower -> overlap of its sides, for the towers whose sides can be compared.
        plan: size of the attribution of one model, JSON-like.
        caveats: what a reader must know.
        seconds: stage -> time it took.
    """
    scores: dict[str, Scores] = {}
    frames: dict[str, pd.DataFrame] = {}
    datasets: dict[str, xr.Dataset] = {}
    for tower, sides in towers.items():
        for side, one in sides.items():
            place, attribution = f"{tower}/{side}", one.attribution
            scores[f"{place}/{ATTRIBUTION}"] = replace(attribution.scores, recipe=attribution.recipe)
            datasets |= {f"{place}/{part}": neurons for part, neurons in attribution.neurons.items()}
            if one.ablation is not None:
                ablated = replace(one.ablation.scores, recipe=one.ablation.recipe, warnings=one.ablation.warnings)
                scores |= {f"{place}/{ABLATION}": ablated, f"{place}/{INTACT}": one.ablation.intact}
                frames |= {f"{place}/{ABLATION}": one.ablation.table, f"{place}/{AREAS}": one.ablation.areas}
    frames |= {f"{tower}/{OVERLAP}": table for tower, table in overlaps.items()}
    facts = {
        TOWERS: {tower: {side: _facts(one) for side, one in sides.items()} for tower, sides in towers.items()},
        PLAN: dict(plan or {}),
    }
    return Measurement(scores, frames, datasets, facts, caveats, seconds or {})


def _facts(one: AttributedModel) -> dict[str, Any]:
    """Return the size and the warnings of one model's attribution, which are stored without arrays."""
    attribution = one.attribution
    return {
        "model": one.name,
        "parts": list(attribution.parts),
        "examples": attribution.examples,
        "noise": attribution.noise,
        "noise_warned": attribution.noise_warned,
        "warnings": list(attribution.warnings),
    }


def attributed(measurement: Measurement) -> dict[str, dict[str, AttributedModel]]:
    """Map tower and model role to the neurons that `stored` received."""
    return {
        tower: {side: _attributed(measurement, f"{tower}/{side}", facts) for side, facts in sides.items()}
        for tower, sides in measurement.facts[TOWERS].items()
    }


def _attributed(measurement: Measurement, place: str, facts: Mapping[str, Any]) -> AttributedModel:
    scores = measurement.scores[f"{place}/{ATTRIBUTION}"]
    neurons = {part: measurement.datasets[f"{place}/{part}"] for part in facts["parts"]}
    attribution = NeuronAttribution(
        scores,
        # the store keeps arrays by name; their order is that of the columns of tables
        {part: data[[name for name in AGGREGATES if name in data]] for part, data in neurons.items()},
        facts["examples"],
        facts["noise"],
        cast(AttributionRecipe, scores.recipe),
        tuple(facts["warnings"]),
        facts["noise_warned"],
    )
    return AttributedModel(facts["model"], attribution, _ablation(measurement, place))


def _ablation(measurement: Measurement, place: str) -> AblationCurves | None:
    if f"{place}/{ABLATION}" not in measurement.scores:
        return None
    scores, intact = measurement.scores[f"{place}/{ABLATION}"], measurement.scores[f"{place}/{INTACT}"]
    table, areas = measurement.frames[f"{place}/{ABLATION}"], measurement.frames[f"{place}/{AREAS}"]
    return AblationCurves(scores, intact, table, areas, cast(AblationRecipe, scores.recipe), scores.warnings)


def overlap_of(measurement: Measurement, tower: str) -> pd.DataFrame | None:
    """Return the overlap of both models' neurons in a tower, or None if they cannot be compared."""
    return measurement.frames.get(f"{tower}/{OVERLAP}")
