"""Search and probe the other training runs of the retriever, for intervals over training runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from retroscope.analyses.analysis import Instrument, NoSettings, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.collection.records import Candidates
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.choices import choices_of, too_few_choices
from retroscope.inputs.encoding import doubts, refuse_blind
from retroscope.inputs.pairing import recipe_differences, same_weights
from retroscope.inputs.provenance import truncation_caveats
from retroscope.probing.grid import probe
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.work import probes_seconds
from retroscope.retrieval.retrieve import retrieve
from retroscope.scores import Scores
from retroscope.typesetting.subject import AFTER

LEARNED = "elementwise"  # the one fitted probe that every training is put to; the other is the similarity


@dataclass(frozen=True, eq=False)
class Probing:
    """Settings and probe examples for probing the vectors of every training run.

    Attributes:
        settings: probe settings with only the similarity probe and one learned probe, without controls.
        choices: the probe examples (each a query and its candidates), the same as for the backbone and the retriever.
    """

    settings: ProbeSettings
    choices: Sequence[Candidates]


def refusal(context: Context, settings: NoSettings) -> str:
    """Return the reason why nothing can be measured (no other training run is given), or "" if there is none."""
    return "" if context.trainings and AFTER in context.models else "no other training run was given"


def plan(context: Context, settings: NoSettings) -> Planned:
    """Plan the searches and probes of the other training runs: settings, probe examples and estimated seconds."""
    probes = context.settings.of("probes", ProbeSettings)
    of_each = None if probes is None else _of_each(context.models[AFTER], probes)
    seconds = sum(context.search_seconds(training) for training in context.trainings)
    if of_each is None:
        return Planned(seconds=seconds)
    choices = choices_of(context.negatives(), of_each, context.settings.protocol)
    if too_few_choices(choices, context.collection, of_each):
        return Planned(seconds=seconds)  # as both sides, which say so
    for training in context.trainings:
        layers = len(of_each.layers or training.passage.layer_names)
        seconds += probes_seconds(of_each, len(choices), training.passage.width, layers, context.product_rate)
    return Planned(seconds=seconds, work=Probing(of_each, choices))


def _of_each(after: Retriever, settings: ProbeSettings) -> ProbeSettings | None:
    """Return settings with only the similarity and the learned probe, without controls.

    Return None if both probes are off, or if no probe is measured without control.
    """
    names = tuple(name for name in (after.similarity, LEARNED) if name in settings.chosen_probes)
    if not names or "none" not in settings.chosen_controls:
        return None
    return replace(settings, probes=names, controls=("none",))


def measure(context: Context, settings: NoSettings, planned: Planned) -> Measurement:
    """Return the retrieval scores and the probe accuracies of each training run but the first.

    The runs are numbered from 2, and the scores are named "2/retrieval" and, if the run was probed, "2/probes".

    Raises:
        EncoderError, AnalysisError: if a training gives different texts the same vector.
    """
    after, probing = context.models[AFTER], planned.work
    scores: dict[str, Scores] = {}
    caveats = _same_training([after, *context.trainings])
    seconds: dict[str, float] = {}
    for number, training in enumerate(context.trainings, start=2):
        label = f"{training.name} (another training)"
        encoded = context.encoded(training, label)
        stages = context.stages(label)
        ranked = retrieve(encoded.vectors, context.collection, context.settings.measures, stages.inside("retrieval"))
        refuse_blind(training, ranked, context.collection)
        scores[f"{number}/retrieval"] = ranked.scores
        stages.ended("retrieval")
        if isinstance(probing, Probing):
            texts, passage_texts = context.collection.query_texts, context.collection.texts_of_passages(probing.choices)
            known: Any = {"texts": texts, "passage_texts": passage_texts, "progress": stages.inside("probing")}
            probed = probe(encoded.vectors, probing.choices, probing.settings, **known)
            scores[f"{number}/probes"] = probed.scores
            stages.ended("probing")
        caveats += [
            f"{training.name}, compared with the retriever: {text}" for text in recipe_differences(after, training)
        ]
        caveats += [f"{training.name}: {doubt}" for doubt in doubts(encoded.self_tests)]
        towers = {"query": encoded.vectors.recipe["query"], "passage": encoded.vectors.recipe["passage"]}
        caveats += truncation_caveats(training.name, towers)
        seconds |= {f"{training.name}: {stage}": s for stage, s in {**encoded.seconds, **stages.seconds}.items()}
    names = [training.name for training in context.trainings]
    return Measurement(scores=scores, facts={"names": names}, caveats=tuple(caveats), seconds=seconds)


def _same_training(retrievers: Sequence[Retriever]) -> list[str]:
    """Return a warning for each training run whose weights equal those of an earlier one."""
    return [
        f"{other.name} has the same weights as {one.name}: it is not another training run, so intervals over trainings "
        "are too narrow"
        for place, other in enumerate(retrievers)
        for one in retrievers[:place]
        if all(same_weights(one.tower(tower), other.tower(tower)) for tower in ("query", "passage"))
    ]


INSTRUMENT = Instrument(refusal, plan, measure)
