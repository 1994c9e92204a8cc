"""Rows about neurons: statistics by layer, activity over thresholds, one row a neuron."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.neurons.result import GAP, NODES, TOTAL, Ablation, NeuronFindings, NeuronSide
from retroscope.scores import QUERY, Scores
from retroscope.statistics import ComparisonSettings, Difference, IntervalSettings, compare_scores, summarise
from retroscope.statistics.completeness import SiteGaps, site_gaps
from retroscope.typesetting.frames import by_side, rows

LAYER_SHARE = "layer share"
CURVE = ["side", "value", "low", "high"]
METHOD = ("test", "correction", "level", "resamples", "permutations", "margin", "seed")  # taken over from the profile


def sound(side: NeuronSide) -> xr.DataArray:
    """Which units are not noise, [query, part, layer]: noise has no activity."""
    values = side.scores.values
    if not side.thresholds:
        return xr.ones_like(values.isel(statistic=0, drop=True), dtype=bool)
    return values.isel(statistic=next(iter(side.activities.values())), drop=True).notnull()


def layer_shares(side: NeuronSide) -> Scores:
    """Each layer's part of a unit's total magnitude, over the layers of an FFN matrix: [query, part, layer].

    Totals of two models have different units, their parts of a whole have none. Noise has no parts.
    """
    total = side.scores.values.sel(statistic=TOTAL, drop=True)
    whole = total.sum("layer")
    return Scores(LAYER_SHARE, (total / whole.where(whole > 0)).where(sound(side)), side.scores.recipe)


def activity(side: NeuronSide) -> Scores:
    """Part of an FFN matrix's neurons, over its layers, that are active: [query, part, threshold]."""
    values = side.scores.values.isel(statistic=list(side.activities.values())).mean("layer", skipna=False)
    named = values.rename(statistic="threshold").assign_coords(threshold=list(side.thresholds))
    return Scores("activity", named.transpose("query", "part", "threshold"), side.scores.recipe)


DERIVED: dict[str, Callable[[NeuronSide], Scores]] = {LAYER_SHARE: layer_shares, "activity": activity}


@lru_cache(maxsize=8)  # words, tables and figures of one report ask for the same
def effect(findings: NeuronFindings, name: str) -> Difference | None:
    """The paired difference of what `DERIVED` names, tested like the profile; all its cells are a family."""
    profile = findings.profile
    if profile is None:
        return None
    method = {key: profile.method[key] for key in METHOD if key in profile.method}
    settings = ComparisonSettings(**method, family=f"{name} of every FFN matrix")
    before, after = (DERIVED[name](side) for side in findings.sides.values())
    return compare_scores(before, after, settings)


def profile_rows(findings: NeuronFindings, statistic: str) -> pd.DataFrame:
    """One row per part, layer and side: value, low, high of a statistic of the profile, or of `LAYER_SHARE`."""
    labels = ["part", "layer"]
    if statistic in DERIVED:
        return curve_rows(findings, statistic, labels)
    if findings.profile is not None:
        return by_side(rows(findings.profile, statistic=statistic), labels)
    return _alone(findings, lambda side: side.scores.select(statistic=statistic), labels)


@lru_cache(maxsize=8)
def gaps_of(side: NeuronSide) -> SiteGaps:
    """Completeness of one side by site; parts and layers in the order of its scores."""
    gap, total = (
        side.scores.values.sel(statistic=name).transpose(QUERY, "part", "layer").values for name in (GAP, TOTAL)
    )
    return site_gaps(gap, total)


def completeness_rows(findings: NeuronFindings) -> pd.DataFrame:
    """One row per side, part and layer: median gap, its 99 % quantile, share of the part's attribution, mean nodes.

    Sides whose method claims no completeness have no rows.
    """
    found = []
    for name, side in findings.sides.items():
        values, gaps = side.scores.values, gaps_of(side)
        nodes = values.sel(statistic=NODES).mean(QUERY).transpose("part", "layer").values
        for p, part in enumerate(values.coords["part"].values.tolist()):
            for k, layer in enumerate(values.coords["layer"].values.tolist()):
                row = (gaps.median[p, k], gaps.worst[p, k], gaps.weight[p, k], nodes[p, k], gaps.judged == (p, k))
                found.append((name, str(part), int(layer), *row))
    columns = ["side", "part", "layer", "gap", "gap_worst", "share", "nodes", "judged"]
    return pd.DataFrame(found, columns=columns).dropna(subset=["gap"]).reset_index(drop=True)


def effect_rows(findings: NeuronFindings, statistic: str) -> pd.DataFrame:
    """One row per part and layer: the paired difference of a statistic, or of something in `DERIVED`, with its tests.

    Empty for a retriever alone.
    """
    if findings.profile is None:
        return pd.DataFrame(columns=["part", "layer"])
    if statistic in DERIVED:
        paired = effect(findings, statistic)
        return pd.DataFrame(columns=["part", "layer"]) if paired is None else rows(paired)
    return rows(findings.profile, statistic=statistic)


def activity_effect(findings: NeuronFindings) -> pd.DataFrame | None:
    """One row per part and threshold: the paired difference in active neurons; None for a retriever alone."""
    paired = effect(findings, "activity")
    return None if paired is None else rows(paired)


def activity_rows(findings: NeuronFindings) -> pd.DataFrame:
    """One row per part, threshold and side: the mean part of the neurons that are active, with its interval."""
    return curve_rows(findings, "activity", ["part", "threshold"])


def layer_activity(findings: NeuronFindings) -> pd.DataFrame:
    """One row per part, layer, threshold and side: the mean part of the layer's neurons that are active."""
    found = []
    for name, side in findings.sides.items():
        values = side.scores.mean().isel(statistic=list(side.activities.values()))
        values = values.rename(statistic="threshold").assign_coords(threshold=list(side.thresholds))
        found.append(values.rename("value").to_dataframe().reset_index().assign(side=name))
    frame = pd.concat(found, ignore_index=True)[["part", "layer", "threshold", "side", "value"]]
    return frame.dropna(subset=["value"]).reset_index(drop=True)


def ablation_rows(ablation: Ablation) -> pd.DataFrame:
    """One row per curve and point: how, draw, fraction, measure, value, low, high; "intact" has no fraction."""
    frames = [summarise(scores).to_dataframe().reset_index() for scores in (ablation.scores, ablation.intact)]
    frame = pd.concat([frames[0], frames[1].assign(how="intact", draw=0)], ignore_index=True).dropna(subset=["mean"])
    named = frame.rename(columns={"mean": "value", "ci_low": "low", "ci_high": "high"})
    return named[["how", "draw", "fraction", "measure", "value", "low", "high"]].reset_index(drop=True)


def neuron_rows(findings: NeuronFindings) -> pd.DataFrame:
    """One row per side, part, layer and neuron, with every aggregate as a column, e.g. `count@0.1`."""
    found = [
        _neurons_of(data).assign(side=name, part=part)
        for name, side in findings.sides.items()
        for part, data in side.neurons.items()
    ]
    frame = pd.concat(found, ignore_index=True)
    first = ["side", "part", "layer", "neuron"]
    return frame[[*first, *(c for c in frame.columns if c not in first)]]


def curve_rows(findings: NeuronFindings, name: str, labels: list[str]) -> pd.DataFrame:
    """Rows of something in `DERIVED`, by side."""
    paired = effect(findings, name)
    if paired is not None:
        return by_side(rows(paired), labels)
    return _alone(findings, DERIVED[name], labels)


def _alone(findings: NeuronFindings, make: Callable[[NeuronSide], Scores], labels: list[str]) -> pd.DataFrame:
    """Means with bootstrap intervals of the only side."""
    (name, side), *_ = findings.sides.items()
    frame = summarise(make(side), IntervalSettings()).to_dataframe().reset_index().dropna(subset=["mean"])
    named = frame.rename(columns={"mean": "value", "ci_low": "low", "ci_high": "high"}).assign(side=name)
    return named[[*labels, *CURVE]].reset_index(drop=True)


def _neurons_of(data: xr.Dataset) -> pd.DataFrame:
    """A data set over (layer, neuron) as rows; what has one more dimension becomes a column a label."""
    flat: dict[str, xr.DataArray] = {}
    for name, array in data.data_vars.items():
        extra = [dim for dim in array.dims if dim not in ("layer", "neuron")]
        if not extra:
            flat[str(name)] = array
        for place, label in enumerate(array.coords[extra[0]].values if extra else ()):
            flat[f"{name}@{label:.15g}"] = array.isel({extra[0]: place}, drop=True)
    numbered = xr.Dataset(flat).assign_coords(neuron=np.arange(data.sizes["neuron"]))
    return numbered.drop_vars([c for c in numbered.coords if c not in ("layer", "neuron")]).to_dataframe().reset_index()
