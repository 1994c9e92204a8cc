"""Run a plan: every analysis on every collection; each measurement is stored at once."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from retroscope.analyses import OWN, analyses
from retroscope.analyses.analysis import Analysis
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import FACTS, Measurement, load_measurement
from retroscope.collection.collection import Collection
from retroscope.documents import SCHEMA, clean, fingerprint
from retroscope.encoders.encoder import Retriever
from retroscope.errors import AnalysisError
from retroscope.files import file_digest
from retroscope.inputs.encoding import doubts
from retroscope.inputs.pairing import recipe_differences
from retroscope.inputs.provenance import (
    collection_facts,
    command_line,
    made_by,
    model_facts,
    software,
    tower_counts,
    truncation_caveats,
)
from retroscope.inputs.settings import StudySettings
from retroscope.inputs.settings_files import plain
from retroscope.progress import Progress
from retroscope.retrieval.runs import write_run, written_run
from retroscope.study.console import console_text
from retroscope.study.plan import Step, StudyPlan, plan_study
from retroscope.study.protocols import departures
from retroscope.study.settings import as_values
from retroscope.study.study import Study
from retroscope.typesetting.subject import AFTER, BEFORE

KEPT = "measurements"  # folder of the cache where a stopped study goes on from


def compare(
    before: Retriever,
    after: Retriever,
    collection: Collection,
    settings: StudySettings | None = None,
    *,
    also: Sequence[Collection] = (),
    trainings: Sequence[Retriever] = (),
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Study:
    """Measure a backbone and the retriever fine-tuned from it the same way, and pair them by query.

    Args:
        before: the backbone.
        after: the retriever fine-tuned from it.
        collection: on which everything is measured.
        settings: of the study; models and collections in it are ignored.
        also: further collections, of other kinds of text.
        trainings: further trainings of the retriever (other seeds), for intervals over trainings and queries together.
        cache: folder of the vector stores; by default the user's cache folder. A stopped study goes on from it.
        progress: called with (what, done, total).

    Raises:
        EncoderError: if the two have different numbers of layers, so that no layer can be paired.
    """
    plan = plan_study(
        {BEFORE: before, AFTER: after}, (collection, *also), settings, trainings=trainings, cache=cache,
        progress=progress,
    )  # fmt: skip
    study = run_study(plan, progress)
    forget(plan)
    return study


def run_study(plan: StudyPlan, progress: Progress | None = None) -> Study:
    """Measure every analysis of a plan; what an earlier, stopped run of the same plan measured is read.

    Raises:
        AnalysisError, CollectionError: if hard negatives are read and cannot be had; nothing is encoded before.
    """
    if _reads_negatives(plan):
        plan.context.negatives()
    measured: dict[str, list[Measurement]] = {}
    for step in plan.steps:
        if step.planned is not None:
            measured.setdefault(step.analysis.name, []).append(_measured(step, progress))
    settled = {name: tuple(measurements) for name, measurements in measured.items()}
    return Study(_facts(plan, settled, progress), as_values(plan.settings), settled)


def forget(plan: StudyPlan) -> None:
    """Remove the stored measurements of a run from the cache, once its study is saved."""
    for step in plan.steps:
        if step.planned is not None:
            shutil.rmtree(step.context.cache / KEPT / _key(step), ignore_errors=True)


def _measured(step: Step, progress: Progress | None) -> Measurement:
    """Return the measurement of a step: read if a stopped run stored it, else measured and stored."""
    place = step.context.cache / KEPT / _key(step)
    if (place / FACTS).exists() and (stored := _stored(place)) is not None:
        return stored
    if step.planned is None:
        raise TypeError(f"{step.analysis.name} cannot run: {step.refused}")
    context = step.context.told(progress)
    measurement = step.instrument.measure(context, step.settings, step.planned)
    measurement = replace(measurement, collection=step.context.collection.name)
    place.parent.mkdir(parents=True, exist_ok=True)
    measurement.save(place, write_run)
    return replace(load_measurement(place), runs=measurement.runs)


def _stored(place: Path) -> Measurement | None:
    """Read a stored measurement; one that is damaged is removed, so that it is measured again."""
    try:
        runs = {file.stem: written_run(file) for file in place.glob("*.run")}
        return replace(load_measurement(place), runs=runs)
    except AnalysisError:
        shutil.rmtree(place)
        return None


def _key(step: Step) -> str:
    """Hash everything that determines a measurement: models, collection, settings, software."""
    context = step.context
    shared = replace(context.settings, before=None, after=None, trainings=(), data=None, also=(), analyses={})
    everyone = [*context.models.values(), *context.trainings]
    made_of = {
        "analysis": step.analysis.name,
        "settings": plain(step.settings),
        "needed": {name: _plain_settings(context.settings, name) for name in step.analysis.needs},
        "shared": plain(shared),
        "models": [(m.name, m.similarity, m.query.fingerprint, m.passage.fingerprint) for m in everyone],
        "roles": list(context.models),
        "run": None if shared.negatives.run is None else file_digest(Path(shared.negatives.run)),
        "collection": [context.collection.name, context.collection.fingerprint, context.first],
        "software": made_by() | {"schema": str(SCHEMA), "analysis": _source(step.analysis)},
    }
    return fingerprint(made_of)[:32]


def _source(analysis: Analysis) -> str:
    """Hash the source files of an analysis that another package brings; our own have the version of the software."""
    if analysis in OWN:
        return ""
    folder = Path(str(files(analysis.package)))
    sources = sorted(file for file in folder.rglob("*") if file.suffix in (".py", ".j2"))
    return fingerprint([[file.name, file_digest(file)] for file in sources])


def _plain_settings(settings: StudySettings, name: str) -> Any:
    """Return the settings of an analysis as JSON-like values, or None if it is left out."""
    of_analysis = settings.analyses.get(name)
    return None if of_analysis is None else plain(of_analysis)


def _facts(plan: StudyPlan, measured: Mapping[str, Sequence[Measurement]], progress: Progress | None) -> dict[str, Any]:
    """Record the facts of a study besides its measurements, as JSON-like values."""
    context = plan.context.told(progress)
    names = [one.name for one in context.models.values()]
    models = {side: model_facts(one, dict(context.self_tests(one))) for side, one in _described(plan).items()}
    on = " and ".join(names)
    return {
        key: clean(value)
        for key, value in {
            "schema": SCHEMA,
            "title": f"{on} on {plan.collections[0].name}",
            "models": models,
            "trainings": 1 + len(context.trainings) * any(s.planned and s.analysis.optional_input for s in plan.steps),
            "collections": [_collection(plan, number) for number in range(len(plan.collections))],
            "caveats": list(dict.fromkeys(_caveats(plan, context, measured))),
            "command": command_line(),
            "versions": software(),
            "timings": _timings(context, measured),
        }.items()
    }


def _described(plan: StudyPlan) -> dict[str, Retriever]:
    """Return the models under the recipe that they are measured with: their own, if several analyses measure them."""
    instruments = {step.analysis.name: step.instrument for step in plan.steps if step.planned}
    as_measured = [one.as_measured for one in instruments.values()]
    if len(as_measured) != 1 or as_measured[0] is None:
        return dict(plan.context.models)
    return {side: as_measured[0](plan.context, one) for side, one in plan.context.models.items()}


def _collection(plan: StudyPlan, number: int) -> dict[str, Any]:
    """Describe a collection; the first with its hard negatives, if an analysis reads them."""
    reads = number == 0 and _reads_negatives(plan)
    return collection_facts(plan.collections[number], plan.context.negatives() if reads else None)


def _reads_negatives(plan: StudyPlan) -> bool:
    return any(step.planned and step.analysis.reads_negatives for step in plan.steps)


def _timings(context: Context, measured: Mapping[str, Sequence[Measurement]]) -> dict[str, float]:
    """Map stages to seconds, of encoding and of every analysis."""
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
    for side, one in _described(plan).items():
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
    """Warn of texts that fill the maximum length or have equal tokens, of every model whose vectors are read."""
    if not any(step.planned and step.analysis.reads_vectors and step.reads(context) for step in plan.steps):
        return []
    on = "" if context.first else f"{context.collection.name}: "
    return [
        f"{on}{text}"
        for side, one in context.models.items()
        for text in truncation_caveats(side if context.is_pair else one.name, tower_counts(context.towers(one)))
    ]


def _same_vectors(context: Context) -> bool:
    """Whether both models give every text the same vectors: what makes them is the same."""
    one, two = ([tower.plan.key for tower in context.towers(model)] for model in context.models.values())
    return one == two


@dataclass(frozen=True, eq=False)
class StudyOutcome:
    """A finished study and its plan: writes the report, prints text and JSON."""

    plan: StudyPlan
    study: Study

    def write(self, folder: Path) -> Path:
        """Write the study into a folder and return the path of the page."""
        return self.study.report(folder, overwrite=True)  # refused before, unless the user asked for it

    def close(self) -> None:
        """Remove what was kept to go on from after an interruption."""
        forget(self.plan)

    def document(self) -> dict[str, Any]:
        """Return the study in numbers and sentences."""
        return self.study.summary()

    def text(self) -> str:
        """Return the study as plain text."""
        return console_text(self.study.report_contents)


@dataclass(frozen=True, eq=False)
class Runnable:
    """A plan that a command prints and runs."""

    plan: StudyPlan

    def lines(self) -> list[str]:
        """Return the plan in words."""
        return self.plan.lines()

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON-like values."""
        return self.plan.document()

    def run(self, progress: Progress) -> StudyOutcome:
        """Measure what is planned."""
        return StudyOutcome(self.plan, run_study(self.plan, progress))
