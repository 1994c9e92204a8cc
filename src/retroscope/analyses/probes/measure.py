"""Train and evaluate probes on the vectors of every layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from retroscope.analyses.analysis import Instrument, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.collection.records import Candidates
from retroscope.encoders.encoder import Retriever
from retroscope.errors import SettingsError
from retroscope.inputs.choices import choices_of, too_few_choices
from retroscope.inputs.provenance import negative_notes
from retroscope.probing.grid import probe
from retroscope.probing.result import ProbeResult
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.tally import MDL
from retroscope.probing.work import probes_seconds
from retroscope.scores import Scores

RANDOM_WEIGHTS = "random_weights"  # the control that the settings of the study may leave out for all analyses


@dataclass(frozen=True, eq=False)
class Side:
    """The results of all probes on the vectors of one model.

    Attributes:
        probed: results for all layers. The final norm of the model, if it has one, is applied to each layer, unless the
            settings exclude this.
        bare: results without the final norm and without controls, or None if `probed` is already without this norm.
        seconds: stage of the work -> how many seconds it took.
        known: warnings about the vectors, which other analyses report.
    """

    probed: ProbeResult
    bare: ProbeResult | None
    seconds: Mapping[str, float]
    known: Sequence[str]


def refusal(context: Context, settings: ProbeSettings) -> str:
    """Return the reason why the probes cannot be trained (too few probe examples), or "" if there is none."""
    settings = _with_controls(context, settings)
    return too_few_choices(_choices(context, settings), context.collection, settings)


def _choices(context: Context, settings: ProbeSettings) -> tuple[Candidates, ...]:
    return choices_of(context.negatives(), settings, context.settings.protocol)


def plan(context: Context, settings: ProbeSettings) -> Planned:
    """Plan the probes: list the queries with their candidates (probe examples), and estimate the seconds."""
    settings = _with_controls(context, settings)
    choices = _choices(context, settings)
    seconds = sum(_seconds(context, retriever, settings, len(choices)) for retriever in context.models.values())
    random = tuple(context.models) if RANDOM_WEIGHTS in settings.chosen_controls else ()
    return Planned(seconds=seconds, random_weights=random, work=choices)


def _seconds(context: Context, retriever: Retriever, settings: ProbeSettings, choices: int) -> float:
    """Estimate the seconds of probing one model, twice if its layers are also probed without the final norm."""
    passage = retriever.passage
    layers = len(settings.layers or passage.layer_names)
    plain = _without_controls(settings) if passage.anatomy.post_norm else None
    kinds = [settings] if plain is None else [settings, plain]
    return sum(probes_seconds(each, choices, passage.width, layers, context.product_rate) for each in kinds)


def measure(context: Context, settings: ProbeSettings, planned: Planned) -> Measurement:
    """Train and test the probes on the vectors of every model, and return their accuracies.

    The scores have names such as "before", "before/bare" (without the final norm) and "before/mdl" (online code
    lengths). The frame "seeds" has the mean accuracies of every seed.
    """
    settings = _with_controls(context, settings)
    sides = {side: _measured(context, side, settings, planned.work) for side in context.models}
    seeds = [
        side_result.probed.by_seed_frame().assign(side=side)
        for side, side_result in sides.items()
        if side_result.probed.by_seed.size
    ]
    return Measurement(
        scores={name: scores for side, side_result in sides.items() for name, scores in _scores(side, side_result)},
        frames={"seeds": pd.concat(seeds, ignore_index=True)} if seeds else {},
        facts=_facts(context, sides),
        caveats=_caveats(context, sides),
        seconds={
            f"{side}: {stage}": s for side, side_result in sides.items() for stage, s in side_result.seconds.items()
        },
    )


def _with_controls(context: Context, settings: ProbeSettings) -> ProbeSettings:
    """Return the settings, without the random-weight control if the study leaves it out.

    Raises:
        SettingsError: if the study leaves this control out, but the settings of the probes name it.
    """
    controls = settings.chosen_controls
    if context.settings.random_weights or RANDOM_WEIGHTS not in controls:
        return settings
    if settings.controls is not None:
        raise SettingsError(
            f"probes.controls names {RANDOM_WEIGHTS}, but random_weights is false",
            where="probes.controls",
            fix=f"set random_weights=true, or leave {RANDOM_WEIGHTS} out of probes.controls",
        )
    return replace(settings, controls=tuple(name for name in controls if name != RANDOM_WEIGHTS))


def _measured(context: Context, side: str, settings: ProbeSettings, choices: Sequence[Candidates]) -> Side:
    retriever, texts = context.models[side], context.collection.query_texts
    random = context.random_vectors(side) if RANDOM_WEIGHTS in settings.chosen_controls else None
    vectors = context.encoded(retriever).vectors
    stages = context.stages(retriever.name)
    known: Any = {"texts": texts, "passage_texts": context.collection.texts_of_passages(choices)}
    probed = probe(vectors, choices, settings, random_weights=random, progress=stages.inside("probing"), **known)
    bare, plain = vectors.bare(), _without_controls(settings)
    bare_probed = None
    if bare is not None and plain is not None:
        bare_probed = probe(bare, choices, plain, progress=stages.inside("probing, no norm"), **known)
    stages.ended("probing")
    return Side(probed, bare_probed, stages.seconds, vectors.warnings)


def _without_controls(settings: ProbeSettings) -> ProbeSettings | None:
    """Return the probe settings without controls and code lengths, or None if no probe remains."""
    probes = tuple(name for name in settings.chosen_probes if name != MDL)
    return replace(settings, probes=probes, controls=("none",)) if probes else None


def _scores(side: str, one: Side) -> list[tuple[str, Scores]]:
    scores = {
        side: one.probed.scores if one.probed.scores.values.size else None,  # code lengths alone have no accuracies
        f"{side}/mdl": one.probed.mdl,
        f"{side}/bare": None if one.bare is None else one.bare.scores,
    }
    return [(name, one_kind) for name, one_kind in scores.items() if one_kind is not None]


def _facts(context: Context, sides: Mapping[str, Side]) -> dict[str, Any]:
    level = context.settings.statistics.level
    last = list(sides.values())[-1]
    bare = [] if last.bare is None or context.is_pair else last.bare.records(level)
    return {
        "records": [
            {"side": side, **row} for side, side_result in sides.items() for row in side_result.probed.records(level)
        ],
        "bare_records": bare,
        "split_sizes": last.probed.recipe["split_sizes"],
        "independent_examples": last.probed.recipe["independent_examples"],
    }


def _caveats(context: Context, sides: Mapping[str, Side]) -> tuple[str, ...]:
    caveats: list[str] = []
    for side, side_result in sides.items():
        own = [warning for warning in side_result.probed.warnings if warning not in side_result.known]
        caveats += [f"{side}: {warning}" for warning in own] if context.is_pair else own
        caveats += side_result.probed.left_out  # the same on both sides
    if not context.is_pair:
        caveats += negative_notes(context.negatives())
    return tuple(dict.fromkeys(caveats))


INSTRUMENT = Instrument(refusal, plan, measure)
