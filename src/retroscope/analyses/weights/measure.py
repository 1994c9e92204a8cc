"""Compare the loaded weights of both models."""

from dataclasses import replace

import pandas as pd
import torch

from retroscope.analyses.analysis import Instrument, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.weights.result import BOTH
from retroscope.analyses.weights.settings import WeightSettings
from retroscope.drift.result import WeightDrift
from retroscope.drift.weights import diff_weights, incomparable_towers
from retroscope.drift.work import weights_seconds
from retroscope.encoders.checkpoints.tensors import weights_of
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.progress import Stages

COARSE = (
    "the weights were loaded in half precision, so their change includes rounding, and no ranks are computed; "
    "`retroscope diff` reads the weights from their files instead"
)


def refusal(context: Context, settings: WeightSettings) -> str:
    """Return the reason why the weights of the two models cannot be compared, or "" if there is none."""
    if not context.is_pair:
        return "weights are compared between two models, but only one model is given"
    return incomparable_towers(context.models["before"], context.models["after"])


def plan(context: Context, settings: WeightSettings) -> Planned:
    """Plan the comparison of tensors, and estimate its seconds. No text is encoded."""
    seconds = 0.0
    for before, after in _towers(context.models["before"], context.models["after"]).values():
        shapes = [tensor.shape for tensor in before.backbone.state_dict().values()]
        spectra = settings.spectra and _are_single(before, after)
        seconds += weights_seconds(shapes, context.product_rate, spectra=spectra)
    return Planned(seconds=seconds)


def measure(context: Context, settings: WeightSettings, planned: Planned) -> Measurement:
    """Return the change of every weight tensor, for the query encoder and the passage encoder (frame "tensors").

    If both encoders share their weights, they are compared once.
    """
    stages = context.stages("weights")
    towers = {
        name: _compared(*pair, settings, stages)
        for name, pair in _towers(context.models["before"], context.models["after"]).items()
    }
    stages.ended("tensors")
    tensors = [f.tensors.assign(tower=name, before_name=f.before, after_name=f.after) for name, f in towers.items()]
    return Measurement(
        frames={"tensors": pd.concat(tensors, ignore_index=True)},
        facts={"towers": {name: {"n_blocks": f.n_blocks, "notes": list(f.notes)} for name, f in towers.items()}},
        caveats=tuple(f"weights: {note}" for f in towers.values() for note in f.notes),
        seconds=stages.seconds,
    )


def _towers(before: Retriever, after: Retriever) -> dict[str, tuple[Encoder, Encoder]]:
    """Return the pairs of encoders to compare, before and after: one pair for the queries and one for the passages.

    If both encoders of a model share their weights, in both models, there is only one pair.
    """
    shared = all(model.query.backbone is model.passage.backbone for model in (before, after))
    towers = {BOTH: "passage"} if shared else {"query": "query", "passage": "passage"}
    return {name: (before.tower(tower), after.tower(tower)) for name, tower in towers.items()}


def _compared(before: Encoder, after: Encoder, settings: WeightSettings, stages: Stages) -> WeightDrift:
    single = _are_single(before, after)
    drift = diff_weights(
        weights_of(before.backbone, before.name),
        weights_of(after.backbone, after.name),
        spectra=settings.spectra and single,
        directions=settings.directions,
        progress=stages.inside("tensors"),
    )
    notes = drift.notes if single else (*drift.notes, COARSE)
    return replace(drift, before=before.name, after=after.name, n_blocks=before.anatomy.n_blocks, notes=notes)


def _are_single(before: Encoder, after: Encoder) -> bool:
    """Return whether both encoders were loaded in single precision, which spectra need."""
    return bool(before.backbone.dtype == after.backbone.dtype == torch.float32)


INSTRUMENT = Instrument(refusal, plan, measure)
