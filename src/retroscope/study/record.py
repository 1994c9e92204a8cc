"""Record the facts of a study other than its measurements: models, collections, caveats, times."""

from collections.abc import Mapping, Sequence

from retroscope.analyses import analyses
from retroscope.analyses.analysis import TRAININGS
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.encoders.encoder import Retriever
from retroscope.files.documents import SCHEMA, clean, impersonal
from retroscope.inputs.encoding import doubts
from retroscope.inputs.pairing import recipe_differences
from retroscope.inputs.provenance import (
    collection_facts,
    command_line,
    model_facts,
    software,
    tower_counts,
    truncation_caveats,
)
from retroscope.progress import Progress
from retroscope.study.planning.plan import StudyPlan, refused_step
from retroscope.study.protocols import departures
from retroscope.typesetting.subject import CollectionRecord, StudyFacts


def recorded_facts(
    plan: StudyPlan, measured: Mapping[str, Sequence[Measurement]], progress: Progress | None
) -> StudyFacts:
    """Return what `study.json` records besides measurements (models, collections, caveats, times), JSON-like."""
    context = plan.context.told(progress)
    names = [model.name for model in context.models.values()]
    models = {
        side: model_facts(model, dict(context.self_tests(model))) for side, model in models_as_measured(plan).items()
    }
    facts: StudyFacts = {
        "schema": SCHEMA,
        "title": f"{' compared with '.join(reversed(names))} on {plan.collections[0].name}",
        "models": models,
        "trainings": 1 + (len(context.trainings) if _measures_trainings(plan) else 0),
        "collections": [_collection(plan, number) for number in range(len(plan.collections))],
        "caveats": list(dict.fromkeys(_caveats(plan, context, measured))),
        "refused": [refused_step(step) for step in plan.refused],
        "command": command_line(),
        "versions": software(),
        "timings": _timings(context, measured),
    }
    if plan.too_long:
        facts["too_long"] = list(plan.too_long)
    cleaned: StudyFacts = impersonal(clean(facts))
    return cleaned


def _measures_trainings(plan: StudyPlan) -> bool:
    """Return whether any planned analysis also measures the retriever's other training runs (`--training`)."""
    return any(
        step.planned and (step.analysis.over_trainings or step.analysis.optional_input == TRAININGS)
        for step in plan.steps
    )


def models_as_measured(plan: StudyPlan) -> dict[str, Retriever]:
    """Map each role ("before", "after" or "model") to its model, with the recipe that the measurement uses.

    In a study of a single analysis, the analysis may use a recipe that differs from that of the loaded model.
    """
    instruments = {step.analysis.name: step.instrument for step in plan.steps if step.planned}
    as_measured = [instrument.as_measured for instrument in instruments.values()]
    if len(as_measured) != 1 or as_measured[0] is None:
        return dict(plan.context.models)
    return {side: as_measured[0](plan.context, model) for side, model in plan.context.models.items()}


def _collection(plan: StudyPlan, number: int) -> CollectionRecord:
    """Return the facts of the collection `number`; those of the first include hard negatives if they are used."""
    reads = number == 0 and plan.reads_negatives
    return collection_facts(plan.collections[number], plan.context.negatives() if reads else None)


def _timings(context: Context, measured: Mapping[str, Sequence[Measurement]]) -> dict[str, float]:
    """Map each stage (encoding of a model, or a stage of an analysis) to the seconds that it took."""
    encoding = {
        f"{side}: {stage}": seconds
        for side, model in context.models.items()
        if (encoded := context.was_encoded(model)) is not None
        for stage, seconds in encoded.seconds.items()
    }
    by_analysis = {
        f"{name}{'' if own.collection == context.collection.name else f' on {own.collection}'}: {stage}": seconds
        for name, measurements in measured.items()
        for own in measurements
        for stage, seconds in own.seconds.items()
    }
    return encoding | by_analysis


def _caveats(plan: StudyPlan, context: Context, measured: Mapping[str, Sequence[Measurement]]) -> list[str]:
    caveats = departures(plan.settings)
    caveats += [f"collection: {note}" for note in context.collection.notes]
    for other in plan.collections[1:]:
        caveats += [f"{other.name}: {note}" for note in other.notes]
    if context.is_pair:
        caveats += recipe_differences(*context.models.values())
    for number, collection in enumerate(plan.collections):
        caveats += _cut_texts(plan, context.on(collection, first=number == 0))
    for side, model in models_as_measured(plan).items():
        if model.own_similarity:
            caveats.append(
                f"{side}: vectors are compared by {model.similarity} ({model.similarity_source}), not by the model's "
                f"own similarity, {model.own_similarity}"
            )
        caveats += [f"{side}: {doubt}" for doubt in doubts(context.self_tests(model))]
    if context.is_pair and _same_vectors(context):
        caveats.append("both models compute exactly the same vectors: the same model was given twice")
    caveats += [f"not measured: {step.what}, since {step.refused}" for step in plan.refused]
    for name in analyses():
        for measurement in measured.get(name, ()):
            on = "" if measurement.collection == context.collection.name else f"{measurement.collection}: "
            caveats += [f"{on}{text}" for text in measurement.caveats]
    return caveats


def _cut_texts(plan: StudyPlan, context: Context) -> list[str]:
    """Return caveats about texts that reach a model's maximum length, and about texts with equal tokens."""
    if not any(step.planned and step.analysis.vectors and step.reads(context) for step in plan.steps):
        return []
    on = "" if context.first else f"{context.collection.name}: "
    return [
        f"{on}{text}"
        for side, model in context.models.items()
        for text in truncation_caveats(side if context.is_pair else model.name, tower_counts(context.towers(model)))
    ]


def _same_vectors(context: Context) -> bool:
    """Return whether both models have the same weights and recipe, so that all vectors are equal."""
    before, after = ([tower.plan.key for tower in context.towers(model)] for model in context.models.values())
    return before == after
