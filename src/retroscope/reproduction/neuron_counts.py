"""Count the active neurons of a model by FFN matrix and layer, as in Figures 5-8 of the paper. No torch."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from retroscope.analyses.neurons.result import AttributedModel
from retroscope.analyses.neurons.stored import attributed
from retroscope.attribution.result import active
from retroscope.reproduction.document import NeuronCounts
from retroscope.reproduction.places import MeasuredTrial
from retroscope.scores import QUERY

BINS = 10  # of the published heat map


def neurons_of(measured: MeasuredTrial) -> AttributedModel:
    """Return the neuron attributions of a finished trial, for the query or passage encoder that its figure shows."""
    return attributed(measured.measurement)[measured.trial.tower]["model"]


def layer_rows(measured: MeasuredTrial, threshold: float) -> list[NeuronCounts]:
    """Count the active neurons of every FFN matrix and layer, one row for each.

    A neuron counts as active if its share is above the threshold in at least one example, as in the published heat
    maps. `share` in a row is the share of the layer's neurons that one example activates, averaged over examples.
    """
    attribution = neurons_of(measured).attribution
    rows: list[NeuronCounts] = []
    for part, data in attribution.neurons.items():
        counts = data["count"].sel(threshold=threshold, method="nearest")
        for layer in counts.coords["layer"].values.tolist():
            of_layer = counts.sel(layer=layer).values
            share = _shares(attribution.scores.values, threshold, part, [layer])
            rows.append({"part": part, "layer": layer, "neurons": len(of_layer), "active": int((of_layer > 0).sum()),
                         "share": float(np.nanmean(share)) if np.isfinite(share).any() else None,
                         "dropped": int((of_layer[published_end(len(of_layer)) :] > 0).sum())})  # fmt: skip
    return rows


def published_end(neurons: int) -> int:
    """Return how many neurons of a layer the published heat map shows: a multiple of ten, as it has ten equal bins.

    Args:
        neurons: number of neurons in the layer.
    """
    return BINS * max(1, neurons // BINS)


def example_shares(measured: MeasuredTrial, threshold: float, part: str, layers: Sequence[int]) -> xr.DataArray:
    """Return, for each example, the share of an FFN matrix's neurons that it activates, averaged over layers.

    Args:
        threshold: share above which a neuron is active.
        part: the FFN matrix, e.g. "intermediate".
        layers: first and last layer; if empty, all layers.
    """
    values = neurons_of(measured).attribution.scores.values
    measured_layers = values.coords["layer"].values.tolist()
    in_range = [layer for layer in measured_layers if not layers or layers[0] <= layer <= layers[-1]]
    share = _shares(values, threshold, part, in_range)
    return xr.DataArray(share, {QUERY: values.coords[QUERY].values}, (QUERY,))


def _shares(values: xr.DataArray, threshold: float, part: str, layers: Sequence[int]) -> np.ndarray:
    shares = values.sel(statistic=active(threshold), part=part, layer=list(layers))
    return np.asarray(shares.mean("layer").values, dtype=float)
