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
    """Convert the attribution and ablation of neurons to a measurement, which can be stored.

    Names in the measurement begin with the encoder (tower) and the model's role, e.g. "query/before/".

    Args:
        towers: tower -> role of the model -> its neurons. The report begins with the first tower.
        overlaps: tower -> overlap of both models' neurons, for the towers in which they can be compared.
        plan: counts of the attribution of a single model, e.g. examples and tokens.
        caveats: caveats that the report prints.
        seconds: stage -> its duration.
    """
    scores: dict[str, Scores] = {}
    frames: dict[str, pd.DataFrame] = {}
    datasets: dict[str, xr.Dataset] = {}
    for tower, sides in towers.items():
        for side, model in sides.items():
            place, attribution, ablation = f"{tower}/{side}", model.attribution, model.ablation
            scores[f"{place}/{ATTRIBUTION}"] = replace(attribution.scores, recipe=attribution.recipe)
            datasets |= {f"{place}/{part}": neurons for part, neurons in attribution.neurons.items()}
            if ablation is not None:
                ablated = replace(ablation.scores, recipe=ablation.recipe, warnings=ablation.warnings)
                scores |= {f"{place}/{ABLATION}": ablated, f"{place}/{INTACT}": ablation.intact}
                frames |= {f"{place}/{ABLATION}": ablation.table, f"{place}/{AREAS}": ablation.areas}
    frames |= {f"{tower}/{OVERLAP}": table for tower, table in overlaps.items()}
    facts = {
        TOWERS: {tower: {side: _facts(model) for side, model in sides.items()} for tower, sides in towers.items()},
        PLAN: dict(plan or {}),
    }
    return Measurement(scores, frames, datasets, facts, caveats, seconds or {})


def _facts(model: AttributedModel) -> dict[str, Any]:
    attribution = model.attribution
    return {
        "model": model.name,
        "parts": list(attribution.parts),
        "examples": attribution.examples,
        "noise": attribution.noise,
        "noise_warned": attribution.noise_warned,
        "warnings": list(attribution.warnings),
    }


def attributed(measurement: Measurement) -> dict[str, dict[str, AttributedModel]]:
    """Read the neurons from a measurement: encoder (tower) -> role of the model, e.g. "before" -> its neurons."""
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
    """Read from a measurement how far both models' neurons agree in one encoder (tower); None if not comparable."""
    return measurement.frames.get(f"{tower}/{OVERLAP}")
