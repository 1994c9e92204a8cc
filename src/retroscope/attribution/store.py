"""An attribution on disk: scores and per-neuron aggregates in one zarr store, no pickle."""

import json
from pathlib import Path

import xarray as xr

from retroscope.attribution.result import AGGREGATES, NeuronAttribution
from retroscope.errors import AnalysisError
from retroscope.scores import load_scores


def save_attribution(made: NeuronAttribution, store: Path, group: str = "neurons") -> None:
    """Write to `group` of the zarr store at `store`, replacing what the group held."""
    made.scores.save(store, f"{group}/scores")
    for part, neurons in made.neurons.items():
        attrs = {"retroscope_units": json.dumps([made.units, made.noise])}
        neurons.assign_attrs(attrs).to_zarr(store, group=f"{group}/{part}", mode="w", consolidated=False)


def load_attribution(store: Path, group: str = "neurons") -> NeuronAttribution:
    """Read what `save_attribution` wrote.

    Raises:
        AnalysisError: if the group is not there, or not whole.
    """
    scores = load_scores(store, f"{group}/scores")
    neurons: dict[str, xr.Dataset] = {}
    units = noise = 0
    for part in map(str, scores.values.coords["part"].values):
        try:
            with xr.open_zarr(store, group=f"{group}/{part}", consolidated=False) as data:
                loaded = data.load()
            units, noise = json.loads(loaded.attrs["retroscope_units"])
        except (KeyError, ValueError, OSError) as damage:
            raise AnalysisError(
                f"group {group}/{part} holds no whole attribution: {damage}", where=str(store), fix="attribute again"
            ) from damage
        neurons[part] = loaded.drop_attrs()[[name for name in AGGREGATES if name in loaded]]
    return NeuronAttribution(scores, neurons, units, noise, scores.recipe, scores.warnings)
