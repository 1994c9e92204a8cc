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
    """Return the facts of a study other than its measurements, as JSON-like values."""
    context = plan.context.told(progress)
    names = [one.name for one in context.models.values()]
    models = {side: model_facts(one, dict(context.self_tests(one))) for side, one in models_as_measured(plan).items()}
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
    """Return whether an analysis of further trainings is planned, which the report then includes."""
    return any(
        step.planned and (step.analysis.over_trainings or step.analysis.optional_input == TRAININGS)
        for step in plan.steps
    )


def models_as_measured(plan: StudyPlan) -> dict[str, Retriever]:
    """Return the models with the recipe used for measuring. A study of one analysis may change the recipe."""
    instruments = {step.analysis.name: step.instrument for step in plan.steps if step.planned}
    as_measured = [one.as_measured for one in instruments.values()]
    if len(as_measured) != 1 or as_measured[0] is None:
        return dict(plan.context.models)
    return {side: as_measured[0](plan.context, one) for side, one in plan.context.models.items()}


def _collection(plan: StudyPlan, number: int) -> CollectionRecord:
    """Return the facts of a collection. The first one with its hard negatives, if an analysis reads them."""
    reads = number == 0 and plan.reads_negatives
    return collection_facts(plan.collections[number], plan.context.negatives() if reads else None)


def _timings(context: Context, measured: Mapping[str, Sequence[Measurement]]) -> dict[str, float]:
    """Map stages (encoding, every analysis) to seconds."""
    encoding = {
        f"{side}: {stage}": taken
        for side, one in context.models.items()
        if (encoded := context.was_encoded(one)) is not None
        for stage, taken in encoded.seconds.items()
    }
    own = {
        f"{name}{'' if one.collection == context.collection.name else f' on {one.collection}'}: {stage}": taken
        for name, measurements in measured.items()
        for one in measurements
        for stage, taken in one.seconds.items()
    }
    return encoding | own


def _caveats(plan: StudyPlan, context: Context, measured: Mapping[str, Sequence[Measurement]]) -> list[str]:
    """List the caveats of the study, then those of every analysis."""
    caveats = departures(plan.settings)
    caveats += [f"collection: {note}" for note in context.collection.notes]
    for other in plan.collections[1:]:
        caveats += [f"{other.name}: {note}" for note in other.notes]
    if context.is_pair:
        caveats += recipe_differences(*context.models.values())
    for number, collection in enumerate(plan.collections):
        caveats += _cut_texts(plan, context.on(collection, first=number == 0))
    for side, one in models_as_measured(plan).items():
        if one.own_similarity:
            caveats.append(
                f"{side}: compared by {one.similarity}, {one.similarity_source}, not by its own {one.own_similarity}"
            )
        caveats += [f"{side}: {doubt}" for doubt in doubts(context.self_tests(one))]
    if context.is_pair and _same_vectors(context):
        caveats.append("both sides make exactly the same vectors: the same model was given twice")
    caveats += [f"not measured: {step.what}, since {step.refused}" for step in plan.refused]
    for name in analyses():
        for measurement in measured.get(name, ()):
            on = "" if measurement.collection == context.collection.name else f"{measurement.collection}: "
            caveats += [f"{on}{text}" for text in measurement.caveats]
    return caveats


def _cut_texts(plan: StudyPlan, context: Context) -> list[str]:
    """Warn of texts that reach the maximum length or have equal tokens, for every model that encodes them."""
    if not any(step.planned and step.analysis.vectors and step.reads(context) for step in plan.steps):
        return []
    on = "" if context.first else f"{context.collection.name}: "
    return [
        f"{on}{text}"
        for side, one in context.models.items()
        for text in truncation_caveats(side if context.is_pair else one.name, tower_counts(context.towers(one)))
    ]


def _same_vectors(context: Context) -> bool:
    """Return whether both models have the same weights and recipe, so that all vectors are equal."""
    one, two = ([tower.plan.key for tower in context.towers(model)] for model in context.models.values())
    return one == two
