"""Count the active neurons of a trial by FFN matrix and layer, as Figures 5-8 of the paper do. No torch."""

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
    """Return the attributed neurons of a trial."""
    return attributed(measured.measurement)[measured.trial.tower]["model"]


def layer_rows(measured: MeasuredTrial, threshold: float) -> list[NeuronCounts]:
    """Return a row for each FFN matrix and layer: active neurons, and their mean share in one example.

    A neuron is active if at least one example puts it above the threshold. The published maps print this count.
    """
    made = neurons_of(measured).attribution
    rows: list[NeuronCounts] = []
    for part, data in made.neurons.items():
        counts = data["count"].sel(threshold=threshold, method="nearest")
        for layer in counts.coords["layer"].values.tolist():
            one = counts.sel(layer=layer).values
            share = _shares(made.scores.values, threshold, part, [layer])
            rows.append({"part": part, "layer": layer, "neurons": len(one), "active": int((one > 0).sum()),
                         "share": float(np.nanmean(share)) if np.isfinite(share).any() else None,
                         "dropped": int((one[published_end(len(one)) :] > 0).sum())})  # fmt: skip
    return rows


def published_end(neurons: int) -> int:
    """Return the number of a layer's neurons that the published heat map shows: ten bins of equal whole size."""
    return BINS * max(1, neurons // BINS)


def example_shares(measured: MeasuredTrial, threshold: float, part: str, layers: Sequence[int]) -> xr.DataArray:
    """Return the share of an FFN matrix's active neurons over a range of layers, for each example.

    Args:
        layers: first and last layer; empty: all.
    """
    values = neurons_of(measured).attribution.scores.values
    known = values.coords["layer"].values.tolist()
    chosen = [layer for layer in known if not layers or layers[0] <= layer <= layers[-1]]
    share = _shares(values, threshold, part, chosen)
    return xr.DataArray(share, {QUERY: values.coords[QUERY].values}, (QUERY,))


def _shares(values: xr.DataArray, threshold: float, part: str, layers: Sequence[int]) -> np.ndarray:
    one = values.sel(statistic=active(threshold), part=part, layer=list(layers))
    return np.asarray(one.mean("layer").values, dtype=float)
