"""Bin neurons for heat maps: neighbouring neurons of a layer share a bin."""

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from retroscope.analyses.neurons.result import COUNT, SHARE, THRESHOLD, HeatMap, TowerNeurons, nearest
from retroscope.attribution.result import NeuronAttribution
from retroscope.errors import unknown_name
from retroscope.typesetting.subject import AFTER, BEFORE

DIFFERENCE = "difference"


def bin_edges(n: int, bins: int) -> Int[np.ndarray, "edge"]:
    """Return the edges of the bins of `n` neurons: the index of each bin's first neuron and, at last, `n`.

    Bin i of B holds neurons floor(i n / B) to floor((i + 1) n / B) - 1. The numbers of neurons in two bins differ by
    one at most. There are at most `n` bins, so no bin is empty.
    """
    n_bins = min(bins, n)
    return np.arange(n_bins + 1) * n // n_bins


def binned(values: Float[np.ndarray, "layer neuron"], layout: HeatMap) -> Float[np.ndarray, "layer bin"]:
    """Return, for every layer and bin of neurons, the mean or the maximum (`layout.within`) of the neurons' values."""
    edges = bin_edges(values.shape[1], layout.bins)
    if layout.within == "max":
        return np.maximum.reduceat(values, edges[:-1], axis=1)
    return np.asarray(np.add.reduceat(values, edges[:-1], axis=1) / np.diff(edges))


def neuron_values(attribution: NeuronAttribution, part: str, value: str | float) -> Float[np.ndarray, "layer neuron"]:
    """Return each neuron's mean relative attribution (share) or, if `value` is a threshold, how often it is active.

    A share is the magnitude of a neuron's attribution, divided by the largest magnitude in the same example. A neuron
    is active in an example if its share is at least the threshold; "how often" is the proportion of examples. Both
    leave out examples that are noise (the target F changes only by rounding).
    """
    data = attribution.neurons[part]
    if isinstance(value, str):
        return np.asarray(data[SHARE].transpose("layer", "neuron").values, dtype=np.float64)
    counted = data[COUNT].coords[THRESHOLD].values.tolist()
    place = nearest(value, counted)
    if place is None:
        raise unknown_name("threshold of the heat map", f"{value:g}", [f"{t:g}" for t in counted])
    counts = data[COUNT].isel(threshold=place).transpose("layer", "neuron").values
    return counts / max(attribution.examples - attribution.noise, 1)


def map_rows(tower: TowerNeurons, part: str) -> pd.DataFrame:
    """Return the heat maps of one FFN matrix's neurons as a table, with a row for each map, layer and bin.

    Columns: part (the matrix), map, layer, first, end and value. A map is a model, e.g. "before", or `DIFFERENCE`
    (after - before), which exists if both models have equally many neurons. A bin holds the neurons first to end - 1.
    """
    layout = tower.heat_map
    attributions = tower.attributions
    maps = {
        name: binned(neuron_values(attribution, part, layout.value), layout)
        for name, attribution in attributions.items()
    }
    widths = {attribution.neurons[part].sizes["neuron"] for attribution in attributions.values()}
    if len(maps) == 2 and len(widths) == 1:
        maps[DIFFERENCE] = maps[AFTER] - maps[BEFORE]
    frames = [_long(name, grid, tower, part) for name, grid in maps.items()]
    return pd.concat(frames, ignore_index=True)


def _long(name: str, grid: Float[np.ndarray, "layer bin"], tower: TowerNeurons, part: str) -> pd.DataFrame:
    data = tower.attributions[AFTER if name == DIFFERENCE else name].neurons[part]
    edges = bin_edges(data.sizes["neuron"], tower.heat_map.bins)
    layers, bins = grid.shape
    return pd.DataFrame(
        {
            "part": part,
            "map": name,
            "layer": np.repeat(data["layer"].values.astype(int), bins),
            "first": np.tile(edges[:-1], layers),
            "end": np.tile(edges[1:], layers),
            "value": grid.ravel(),
        }
    )
