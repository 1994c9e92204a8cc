"""Measure the neurons of one model or two: their attribution, and ablations that test it."""

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
    """Return "", because no model is refused: neurons can be attributed in every model.

    Raises:
        SettingsError: if the settings name both encoders (towers) in a study of one model.
    """
    towers_of(context, settings)
    return ""


def plan(context: Context, settings: NeuronsSettings) -> Planned:
    """Plan attributions and ablations: count their examples and texts, and estimate the seconds."""
    return plan_neurons(context, settings)


def measure(context: Context, settings: NeuronsSettings, planned: Planned) -> Measurement:
    """Compute the attribution of every model's neurons and test it by ablations; return the measurement.

    Neurons of the query encoder, the passage encoder or both are attributed. Two compared models use the same
    negatives.
    """
    candidates = _candidates(context, settings)
    towers: dict[str, dict[str, AttributedModel]] = {}
    plans: list[AttributionPlan] = []
    seconds: dict[str, float] = {}
    for tower in towers_of(context, settings):
        attribution_settings = replace(settings.attribution, tower=tower)
        sides: dict[str, _Side] = {}
        for side, retriever in context.models.items():
            stages = context.stages(f"{retriever.name}, {tower} tower")
            side_plan = plan_on_collection(
                retriever, context.collection, candidates, attribution_settings, context.settings.protocol
            )
            plans.append(side_plan)
            stages.ended("neurons: plan")
            sides[side] = _Side(retriever, side_plan, stages)
        attributions = _attributions(context, sides)
        for side, model in sides.items():
            towers.setdefault(tower, {})[side] = _measured(context, model, attributions[side], settings.ablation)
            of = f"{side}, {tower} tower: " if context.is_pair else ""
            seconds |= {f"{of}{stage}": duration for stage, duration in model.stages.seconds.items()}
    caveats = list(dict.fromkeys(_left_out(context, settings, towers)))
    if not context.is_pair:
        caveats += caveats_of_one(plans[0], towers)
    size = None if context.is_pair else facts(plans[0])
    return stored(towers, dict(_overlaps(towers)), plan=size, caveats=tuple(caveats), seconds=seconds)


def _pairs(context: Context, settings: NeuronsSettings) -> Sequence[Candidates]:
    """Return each query's relevant passage and hard negatives, in the order in which texts are attributed.

    Under the published protocol, the target `norm` takes the rows of the data set, in which a query may be repeated.
    Otherwise, there is one item for each query, and no negative is judged relevant.
    """
    if settings.attribution.target != "norm":
        return context.negatives().candidates
    return pairs_of(context.negatives(), context.settings.protocol)


def _candidates(context: Context, settings: NeuronsSettings) -> Sequence[Candidates]:
    """Return each query's relevant passage and negatives. For the margin, both models get the same negative."""
    mined = _pairs(context, settings)
    if not context.is_pair:
        return mined
    pair = list(context.models.values())
    return shared_negatives(pair, context.collection, mined, settings.attribution, context.settings.protocol)


@dataclass(frozen=True, eq=False)
class _Side:
    retriever: Retriever
    plan: AttributionPlan
    stages: Stages


def _attributions(context: Context, sides: Mapping[str, _Side]) -> dict[str, NeuronAttribution]:
    """Attribute the neurons of every model over the same examples, as many as the less stable ranking needs."""

    def attributed(side: _Side, stop_at: int = 0) -> NeuronAttribution:
        attribution = attribute_neurons(side.plan, context.cache, side.stages.inside("neurons"), stop_at=stop_at)
        side.stages.ended("neurons")
        return attribution

    attributions = {name: attributed(side) for name, side in sides.items()}
    most = max(attribution.examples for attribution in attributions.values())
    return {
        name: attribution if attribution.examples == most else attributed(sides[name], most)
        for name, attribution in attributions.items()
    }


def _measured(
    context: Context, side: _Side, attribution: NeuronAttribution, ablation: NeuronAblationSettings | None
) -> AttributedModel:
    retriever, target, stages = side.retriever, side.plan.settings.target, side.stages
    if target != "norm":  # whose examples are distinct texts
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
    if context.is_pair and target == "margin":
        recipe: AttributionRecipe = {**attribution.recipe, "negative": SHARED_NEGATIVE}
        attribution = replace(attribution, scores=replace(attribution.scores, recipe=recipe), recipe=recipe)
    if unranked:
        attribution = replace(attribution, warnings=(*attribution.warnings, unranked))
    return AttributedModel(retriever.name, attribution, curves)


def _unranked(attribution: NeuronAttribution) -> str:
    """Return the reason why no neurons can be ranked by the attribution for an ablation, or "" if they can."""
    if attribution.noise + int(attribution.recipe["lost"]) < attribution.examples:
        return ""
    return (
        "no ablation was run: in every example, the target changes only by rounding or a value is not finite, so no "
        "neuron ranks above another"
    )


def _overlaps(towers: AttributedTowers) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each tower with the overlap of both models' neurons, if their FFN matrices have the same shapes."""
    for tower, sides in towers.items():
        attributions = [side.attribution for side in sides.values()]
        shapes = [{part: dict(neurons.sizes) for part, neurons in each.neurons.items()} for each in attributions]
        if len(attributions) > 1 and shapes[0] == shapes[1]:
            yield tower, overlap(*attributions).table


def _left_out(context: Context, settings: NeuronsSettings, towers: AttributedTowers) -> Iterator[str]:
    """Yield caveats: which queries were not attributed, and how stable the ranking of neurons is."""
    mined = _pairs(context, settings)
    for tower, sides in towers.items():
        used = max(side.attribution.examples for side in sides.values())
        yield from left_out(context.collection, mined, replace(settings.attribution, tower=tower, limit=used))
        for side in sides.values():
            agreement, target = side.attribution.recipe["agreement_reached"], side.attribution.recipe["agreement"]
            if agreement is not None:
                yield (
                    f"neurons of {side.name}, {tower} tower: random halves of {used} examples agree on the top neurons "
                    f"to a Jaccard index of {agreement:.2f} (requested: {target:g})"
                )


def _described(context: Context, retriever: Retriever) -> Retriever:
    return as_measured(retriever, context.settings.protocol)


KEPT = EntryKind("neurons", f"{STATE}*.npz", FORMAT, True, damaged_file)
INSTRUMENT = Instrument(refusal, plan, measure, _described, keeps=(KEPT,))
