"""Attribute and ablate the neurons of one model, or of two in the same way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from retroscope.analyses.analysis import Instrument, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.neurons.ablation.curves import ablation_curves
from retroscope.analyses.neurons.attribute import as_measured, plan_on_collection, shared_negatives
from retroscope.analyses.neurons.one_model import caveats_of_one
from retroscope.analyses.neurons.plan import plan_neurons, towers_of
from retroscope.analyses.neurons.result import AttributedModel
from retroscope.analyses.neurons.settings import NeuronAblationSettings, NeuronsSettings
from retroscope.analyses.neurons.stored import AttributedTowers, stored
from retroscope.attribution.attribute import STATE, attribute_neurons
from retroscope.attribution.examples import left_out
from retroscope.attribution.plan import FORMAT, AttributionPlan, facts
from retroscope.attribution.result import AttributionRecipe, NeuronAttribution
from retroscope.attribution.top_neurons.overlap import overlap
from retroscope.collection.records import Candidates
from retroscope.encoders.encoder import Retriever
from retroscope.files.cache_records import EntryKind, damaged_file
from retroscope.inputs.choices import pairs_of
from retroscope.inputs.sampled import is_sampled
from retroscope.progress import Stages

SHARED_NEGATIVE = "the candidate with the smallest mean rank by both retrievers"


def refusal(context: Context, settings: NeuronsSettings) -> str:
    """Return "" (no refusal), because neurons can be attributed in every model.

    Raises:
        SettingsError: if the settings name both towers in a study of one model.
    """
    towers_of(context, settings)
    return ""


def plan(context: Context, settings: NeuronsSettings) -> Planned:
    """Plan attributions and ablations: count their examples and texts, and estimate the seconds."""
    return plan_neurons(context, settings)


def measure(context: Context, settings: NeuronsSettings, planned: Planned) -> Measurement:
    """Return the attributed and ablated neurons of every model and tower. Both models of a pair share negatives."""
    candidates = _candidates(context, settings)
    towers: dict[str, dict[str, AttributedModel]] = {}
    plans: list[AttributionPlan] = []
    seconds: dict[str, float] = {}
    for tower in towers_of(context, settings):
        asked = replace(settings.attribution, tower=tower)
        sides: dict[str, _Side] = {}
        for side, retriever in context.models.items():
            stages = context.stages(f"{retriever.name}, {tower} tower")
            one_plan = plan_on_collection(retriever, context.collection, candidates, asked, context.settings.protocol)
            plans.append(one_plan)
            stages.ended("neurons: plan")
            sides[side] = _Side(retriever, one_plan, stages)
        attributions = _attributions(context, sides)
        for side, one in sides.items():
            towers.setdefault(tower, {})[side] = _measured(context, one, attributions[side], settings.ablation)
            of = f"{side}, {tower} tower: " if context.is_pair else ""
            seconds |= {f"{of}{stage}": taken for stage, taken in one.stages.seconds.items()}
    caveats = list(dict.fromkeys(_left_out(context, settings, towers)))
    if not context.is_pair:
        caveats += caveats_of_one(plans[0], towers)
    size = None if context.is_pair else facts(plans[0])
    return stored(towers, dict(_overlaps(towers)), plan=size, caveats=tuple(caveats), seconds=seconds)


def _pairs(context: Context, settings: NeuronsSettings) -> Sequence[Candidates]:
    """Return the pairs in the order in which texts are attributed. A margin needs negatives that are not relevant."""
    if settings.attribution.target != "norm":
        return context.negatives().candidates
    return pairs_of(context.negatives(), context.settings.protocol)


def _candidates(context: Context, settings: NeuronsSettings) -> Sequence[Candidates]:
    """Return the relevant passage and the negatives of every query; for the margin, the same for both models."""
    mined = _pairs(context, settings)
    if not context.is_pair:
        return mined
    pair = list(context.models.values())
    return shared_negatives(pair, context.collection, mined, settings.attribution, context.settings.protocol)


@dataclass(frozen=True, eq=False)
class _Side:
    """One model in the attribution of a tower, with its plan and the times of its stages."""

    retriever: Retriever
    plan: AttributionPlan
    stages: Stages


def _attributions(context: Context, sides: Mapping[str, _Side]) -> dict[str, NeuronAttribution]:
    """Attribute the neurons of both models, with the number of examples that the more demanding model needs."""

    def attributed(side: _Side, stop_at: int = 0) -> NeuronAttribution:
        attribution = attribute_neurons(side.plan, context.cache, side.stages.inside("neurons"), stop_at=stop_at)
        side.stages.ended("neurons")
        return attribution

    attributions = {name: attributed(side) for name, side in sides.items()}
    most = max(one.examples for one in attributions.values())
    return {name: one if one.examples == most else attributed(sides[name], most) for name, one in attributions.items()}


def _measured(
    context: Context, side: _Side, attribution: NeuronAttribution, ablation: NeuronAblationSettings | None
) -> AttributedModel:
    """Ablate the attributed neurons of one model and tower if the settings ask for it."""
    retriever, one_plan, stages = side.retriever, side.plan, side.stages
    if one_plan.settings.target != "norm":  # whose examples are distinct texts
        attribution = replace(attribution, scores=attribution.scores.with_texts(context.collection.query_texts))
    curves, unranked = None, ""
    if ablation is not None:
        unranked = _unranked(attribution)
        if not unranked:
            # searched as the retriever searches: the published way of embedding is for its neuron counts alone
            sampled = is_sampled(context.collection, ablation.passages)
            whole = context.whole_search(ablation.measures) if sampled else None
            curves = ablation_curves(retriever, context.collection, attribution, ablation, stages.named(), whole=whole)
        stages.ended("neurons: ablation")
    if context.is_pair and one_plan.settings.target == "margin":
        recipe: AttributionRecipe = {**attribution.recipe, "negative": SHARED_NEGATIVE}
        attribution = replace(attribution, scores=replace(attribution.scores, recipe=recipe), recipe=recipe)
    if unranked:
        attribution = replace(attribution, warnings=(*attribution.warnings, unranked))
    return AttributedModel(retriever.name, attribution, curves)


def _unranked(attribution: NeuronAttribution) -> str:
    """Return the reason why neurons cannot be ablated by their attribution, or "" if there is none."""
    if attribution.noise + int(attribution.recipe["lost"]) < attribution.examples:
        return ""
    return (
        "no ablation was run: in every example, the target changes only by rounding or a value is not finite, so no "
        "neuron ranks above another"
    )


def _overlaps(towers: AttributedTowers) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield tower and the overlap of both models' top neurons, for towers whose matrices have the same shape."""
    for tower, sides in towers.items():
        attributions = [one.attribution for one in sides.values()]
        shapes = [{part: dict(neurons.sizes) for part, neurons in one.neurons.items()} for one in attributions]
        if len(attributions) > 1 and shapes[0] == shapes[1]:
            yield tower, overlap(*attributions).table


def _left_out(context: Context, settings: NeuronsSettings, towers: AttributedTowers) -> Iterator[str]:
    """Describe which queries were not attributed, and how stable the ranking of neurons is."""
    mined = _pairs(context, settings)
    for tower, sides in towers.items():
        used = max(one.attribution.examples for one in sides.values())
        yield from left_out(context.collection, mined, replace(settings.attribution, tower=tower, limit=used))
        for one in sides.values():
            agreement, target = one.attribution.recipe["agreement_reached"], one.attribution.recipe["agreement"]
            if agreement is not None:
                yield (
                    f"neurons of {one.name}, {tower} tower: random halves of {used} examples agree on the top neurons "
                    f"to a Jaccard index of {agreement:.2f} (requested: {target:g})"
                )


def _described(context: Context, retriever: Retriever) -> Retriever:
    """Return a model with the recipe that the protocol uses for neuron attribution."""
    return as_measured(retriever, context.settings.protocol)


KEPT = EntryKind("neurons", f"{STATE}*.npz", FORMAT, True, damaged_file)
INSTRUMENT = Instrument(refusal, plan, measure, _described, keeps=(KEPT,))
