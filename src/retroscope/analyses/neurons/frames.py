"""Data frames about neurons: statistics by layer, activity over thresholds, and one row for each neuron."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.neurons.result import AblationCurves, TowerNeurons
from retroscope.attribution.result import GAP, NODES, TOTAL, NeuronAttribution
from retroscope.scores import QUERY, Scores
from retroscope.statistics import ComparisonSettings, Difference, IntervalSettings, compare_scores, summarise
from retroscope.statistics.completeness import SiteGaps, site_gaps
from retroscope.typesetting.frames import by_side, rows

LAYER_SHARE = "layer share"
CURVE = ["side", "value", "low", "high"]
METHOD = ("test", "correction", "level", "resamples", "permutations", "margin", "seed")  # taken over from the profile


def sound(attribution: NeuronAttribution) -> xr.DataArray:
    """Return true for each example whose attributed quantity (target) changes by more than rounding, else false.

    The array has the dimensions [query, part (FFN matrix), layer]. Without activity thresholds, all are true.
    """
    values = attribution.scores.values
    if not attribution.thresholds:
        return xr.ones_like(values.isel(statistic=0, drop=True), dtype=bool)
    return values.isel(statistic=next(iter(attribution.activities.values())), drop=True).notnull()


def layer_shares(attribution: NeuronAttribution) -> Scores:
    """Return each layer's share of the total attribution, for each example and kind of FFN matrix.

    The dimensions are [query, part, layer]. The total is the sum of magnitudes over all layers. Such sums differ in
    scale between two models, shares do not. Examples that are noise have no shares (NaN).
    """
    total = attribution.scores.values.sel(statistic=TOTAL, drop=True)
    whole = total.sum("layer")
    shares = (total / whole.where(whole > 0)).where(sound(attribution))
    return replace(attribution.scores, name=LAYER_SHARE, values=shares, warnings=())


def activity(attribution: NeuronAttribution) -> Scores:
    """Return the share of the neurons that are active, for each example, kind of FFN matrix and threshold.

    The dimensions are [query, part, threshold]. The share is over all layers. A neuron is active if the magnitude of
    its attribution, divided by the largest magnitude in the example, is at least the threshold.
    """
    values = attribution.scores.values.isel(statistic=list(attribution.activities.values())).mean("layer", skipna=False)
    named = values.rename(statistic="threshold").assign_coords(threshold=list(attribution.thresholds))
    shares = named.transpose("query", "part", "threshold")
    return replace(attribution.scores, name="activity", values=shares, warnings=())


DERIVED: dict[str, Callable[[NeuronAttribution], Scores]] = {LAYER_SHARE: layer_shares, "activity": activity}


@lru_cache(maxsize=8)  # words, tables and figures of one report ask for the same
def effect(tower: TowerNeurons, name: str) -> Difference | None:
    """Return how fine-tuning changed the layers' shares of the attribution, or the share of active neurons.

    The difference after - before is paired by query, and all its tests are one family. For a single model, return None.

    Args:
        name: name of the quantity in `DERIVED`.
    """
    profile = tower.profile
    if profile is None:
        return None
    method: dict[str, Any] = {key: value for key, value in profile.method.items() if key in METHOD}
    settings = ComparisonSettings(**method, family=f"{name} of every FFN matrix")
    before, after = (DERIVED[name](attribution) for attribution in tower.attributions.values())
    return compare_scores(before, after, settings)


def profile_rows(tower: TowerNeurons, statistic: str) -> pd.DataFrame:
    """Return the mean of an attribution statistic, with its interval: a row for each FFN matrix, layer and model.

    Columns: part, layer, side, value, low and high. The statistic is one of the attribution's scores, e.g. the Gini
    index, or `LAYER_SHARE`.
    """
    labels = ["part", "layer"]
    if statistic in DERIVED:
        return curve_rows(tower, statistic, labels)
    if tower.profile is not None:
        return by_side(rows(tower.profile, statistic=statistic), labels)
    return _alone(tower, lambda attribution: attribution.scores.select(statistic=statistic), labels)


@lru_cache(maxsize=8)
def gaps_of(attribution: NeuronAttribution) -> SiteGaps:
    """Return by FFN matrix and layer how far the attributions' sum is from the target's change (completeness gap).

    Matrices and layers are in the order of the attribution's scores.
    """
    gap, total = (
        attribution.scores.values.sel(statistic=name).transpose(QUERY, "part", "layer").values for name in (GAP, TOTAL)
    )
    parts = attribution.scores.values.coords["part"].values.tolist()
    shares = [attribution.neurons[part]["share"].transpose("layer", "neuron").values for part in parts]
    return site_gaps(gap, total, shares)


def completeness_rows(tower: TowerNeurons) -> pd.DataFrame:
    """Return a row for each model, FFN matrix and layer: its completeness gap, attribution and quadrature nodes.

    Columns: side, part, layer, gap (median over examples), gap_worst (99 % quantile over examples), share (of the
    attribution over all layers), nodes (mean number), judged (true for the row that stands for the model's gap). Models
    whose method claims no completeness have no rows.
    """
    gap_rows = []
    for name, attribution in tower.attributions.items():
        values, gaps = attribution.scores.values, gaps_of(attribution)
        nodes = values.sel(statistic=NODES).mean(QUERY).transpose("part", "layer").values
        for p, part in enumerate(values.coords["part"].values.tolist()):
            for k, layer in enumerate(values.coords["layer"].values.tolist()):
                row = (gaps.median[p, k], gaps.worst[p, k], gaps.weight[p, k], nodes[p, k], gaps.judged == (p, k))
                gap_rows.append((name, str(part), int(layer), *row))
    columns = ["side", "part", "layer", "gap", "gap_worst", "share", "nodes", "judged"]
    return pd.DataFrame(gap_rows, columns=columns).dropna(subset=["gap"]).reset_index(drop=True)


def effect_rows(tower: TowerNeurons, statistic: str) -> pd.DataFrame:
    """Return how fine-tuning changed a statistic of the attribution: a row with tests for each FFN matrix and layer.

    The statistic is one of the attribution's scores, e.g. the Gini index, or a quantity in `DERIVED`. The differences
    are paired by query. The table is empty for a single model.
    """
    if tower.profile is None:
        return pd.DataFrame(columns=["part", "layer"])
    if statistic in DERIVED:
        paired = effect(tower, statistic)
        return pd.DataFrame(columns=["part", "layer"]) if paired is None else rows(paired)
    return rows(tower.profile, statistic=statistic)


def activity_effect(tower: TowerNeurons) -> pd.DataFrame | None:
    """Return how fine-tuning changed the share of active neurons: a row for each FFN matrix and threshold.

    The differences are paired by query and tested. For a single model, return None.
    """
    paired = effect(tower, "activity")
    return None if paired is None else rows(paired)


def activity_rows(tower: TowerNeurons) -> pd.DataFrame:
    """Return the mean share of active neurons with its interval: a row for each FFN matrix, threshold and model."""
    return curve_rows(tower, "activity", ["part", "threshold"])


def layer_activity(tower: TowerNeurons) -> pd.DataFrame:
    """Return the mean share of active neurons: a row for each FFN matrix, layer, threshold and model."""
    parts = []
    for name, attribution in tower.attributions.items():
        values = attribution.scores.mean().isel(statistic=list(attribution.activities.values()))
        values = values.rename(statistic="threshold").assign_coords(threshold=list(attribution.thresholds))
        parts.append(values.rename("value").to_dataframe().reset_index().assign(side=name))
    frame = pd.concat(parts, ignore_index=True)[["part", "layer", "threshold", "side", "value"]]
    return frame.dropna(subset=["value"]).reset_index(drop=True)


def ablation_rows(ablation: AblationCurves) -> pd.DataFrame:
    """Return the points of the ablation curves: the mean of each retrieval measure over queries, with its interval.

    Columns: how (which neurons are fixed, or "intact"), draw, fraction (NaN for "intact"), measure, value, low, high.
    """
    frames = [summarise(scores).to_dataframe().reset_index() for scores in (ablation.scores, ablation.intact)]
    frame = pd.concat([frames[0], frames[1].assign(how="intact", draw=0)], ignore_index=True).dropna(subset=["mean"])
    named = frame.rename(columns={"mean": "value", "ci_low": "low", "ci_high": "high"})
    return named[["how", "draw", "fraction", "measure", "value", "low", "high"]].reset_index(drop=True)


def neuron_rows(tower: TowerNeurons) -> pd.DataFrame:
    """Return a row for each neuron of each model, with a column for each aggregate over examples, e.g. the mean share.

    The rows are labelled by side, part (FFN matrix), layer and neuron. `share` is the mean share, and `count@0.1` the
    number of examples in which the neuron is active at 0.1.
    """
    parts = [
        _neurons_of(data).assign(side=name, part=part)
        for name, attribution in tower.attributions.items()
        for part, data in attribution.neurons.items()
    ]
    frame = pd.concat(parts, ignore_index=True)
    first = ["side", "part", "layer", "neuron"]
    return frame[[*first, *(c for c in frame.columns if c not in first)]]


def curve_rows(tower: TowerNeurons, name: str, labels: list[str]) -> pd.DataFrame:
    """Return the mean and interval of layer shares or of the share of active neurons, by model and `labels`.

    Args:
        name: name of the quantity in `DERIVED`.
        labels: dimensions of the quantity besides queries, e.g. part and threshold. Each combination has a row.
    """
    paired = effect(tower, name)
    if paired is not None:
        return by_side(rows(paired), labels)
    return _alone(tower, DERIVED[name], labels)


def _alone(tower: TowerNeurons, make: Callable[[NeuronAttribution], Scores], labels: list[str]) -> pd.DataFrame:
    """Return means over examples, with bootstrap intervals, of the scores that `make` computes for a single model."""
    (name, attribution), *_ = tower.attributions.items()
    frame = summarise(make(attribution), IntervalSettings()).to_dataframe().reset_index().dropna(subset=["mean"])
    named = frame.rename(columns={"mean": "value", "ci_low": "low", "ci_high": "high"}).assign(side=name)
    return named[[*labels, *CURVE]].reset_index(drop=True)


def _neurons_of(data: xr.Dataset) -> pd.DataFrame:
    """Return a row for each layer and neuron of a data set.

    A variable with a third dimension, e.g. threshold, becomes one column for each label of this dimension.
    """
    flat: dict[str, xr.DataArray] = {}
    for name, array in data.data_vars.items():
        extra = [dim for dim in array.dims if dim not in ("layer", "neuron")]
        if not extra:
            flat[str(name)] = array
        for place, label in enumerate(array.coords[extra[0]].values if extra else ()):
            flat[f"{name}@{label:.15g}"] = array.isel({extra[0]: place}, drop=True)
    numbered = xr.Dataset(flat).assign_coords(neuron=np.arange(data.sizes["neuron"]))
    return numbered.drop_vars([c for c in numbered.coords if c not in ("layer", "neuron")]).to_dataframe().reset_index()
