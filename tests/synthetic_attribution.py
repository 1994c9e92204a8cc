"""Attributions with known values, as `attribute_neurons` would return them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from retroscope.attribution.result import STATISTICS, NeuronAttribution
from retroscope.scores import Scores


def make_attribution(
    signed: Mapping[str, np.ndarray],
    *,
    magnitude: Mapping[str, np.ndarray] | None = None,
    halves: Mapping[str, np.ndarray] | None = None,
    ids: Sequence[str] = ("q0", "q1"),
    recipe: Mapping[str, Any] | None = None,
    passages: Mapping[str, Sequence[str]] | None = None,
) -> NeuronAttribution:
    """An attribution of these mean signed values, part -> [layer, neuron].

    Args:
        magnitude: mean magnitudes, the sizes of the signed values by default; the shares are these over the largest.
        passages: "positive" and "negative" -> the passage of each query; ids that no collection has by default.
        halves: signed means of either half, part -> [half, layer, neuron]; twice `signed` by default.
    """
    magnitude = magnitude or {part: np.abs(values) for part, values in signed.items()}
    largest = max(float(np.nanmax(values)) for values in magnitude.values())
    both = halves or {part: np.stack([values, values]) for part, values in signed.items()}
    neurons = {
        part: _table(values, magnitude[part], magnitude[part] / (largest or 1.0), both[part])
        for part, values in signed.items()
    }
    parts, layers = list(signed), len(next(iter(signed.values())))
    values = np.zeros((len(ids), len(STATISTICS), len(parts), layers))
    coords = {"query": list(ids), "statistic": list(STATISTICS), "part": parts, "layer": range(1, layers + 1)}
    run = {name: ("query", ["none"] * len(ids)) for name in ("positive", "negative")}
    run |= {name: ("query", list(some)) for name, some in (passages or {}).items()}
    scores = Scores("neurons", xr.DataArray(values, dims=tuple(coords), coords=coords).assign_coords(run))
    by_name = {"target": "margin", "tower": "passage", "seed": 0, **(recipe or {})}
    return NeuronAttribution(scores, neurons, len(ids), 0, by_name)


def _table(signed: np.ndarray, mean: np.ndarray, share: np.ndarray, half: np.ndarray) -> xr.Dataset:
    dims = ("layer", "neuron")
    return xr.Dataset(
        {
            "mean": (dims, mean),
            "signed": (dims, signed),
            "share": (dims, share),
            "half_signed": (("half", *dims), half),
            "half_share": (("half", *dims), np.abs(half)),
        },
        coords={"layer": range(1, len(signed) + 1), "neuron": range(signed.shape[1]), "half": [0, 1]},
    )
