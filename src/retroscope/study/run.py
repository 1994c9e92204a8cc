"""Run the plan of a study: measure every analysis on every collection, and store each measurement at once."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from retroscope.analyses import OWN
from retroscope.analyses.analysis import Analysis
from retroscope.analyses.measurement import Measurement, load_measurement
from retroscope.collection.collection import Collection
from retroscope.display import Shown, shown
from retroscope.encoders.encoder import Retriever
from retroscope.errors import AnalysisError, DamageError
from retroscope.files.cache_records import CacheOrigin, record_of, used, versions
from retroscope.files.checksums import note_remade, open_sealed
from retroscope.files.disk_errors import CLOSED
from retroscope.files.documents import SCHEMA, fingerprint, impersonal
from retroscope.files.reading import PathLike, path_of
from retroscope.files.whole import file_digest, prove_writable, remove_whole
from retroscope.inputs.provenance import LIBRARIES, made_by
from retroscope.inputs.settings import StudySettings
from retroscope.inputs.settings_files import plain
from retroscope.progress import Progress
from retroscope.retrieval.runs import run_of, write_run
from retroscope.study.folder import FACTS
from retroscope.study.overwriting import refuse_foreign_files, refuse_other_study
from retroscope.study.planning.plan import Step, StudyPlan, plan_study
from retroscope.study.record import recorded_facts
from retroscope.study.reporting.reported import Reported
from retroscope.study.settings import as_values
from retroscope.study.stored import is_finished_as
from retroscope.study.study import Study
from retroscope.typesetting.subject import AFTER, BEFORE, PendingFacts, StudyFacts

KEPT = "measurements"  # folder of the cache with the measurements from which a stopped study continues


def compare(
    before: Retriever,
    after: Retriever,
    collection: Collection,
    settings: StudySettings | None = None,
    *,
    also: Sequence[Collection] = (),
    trainings: Sequence[Retriever] = (),
    cache: PathLike | None = None,
    progress: Shown = None,
) -> Study:
    """Measure a backbone and the retriever fine-tuned from it in the same way, and return the results paired by query.

    Args:
        before: the backbone.
        after: the retriever fine-tuned from it.
        collection: the collection on which everything is measured.
        settings: settings of the study. Models and collections in them are ignored.
        also: further collections with other kinds of text.
        trainings: other training runs of the retriever (other seeds), for intervals over runs and queries together.
        cache: folder of the vector stores, by default the user's cache folder. A stopped study continues from it.
        progress: called with (what, done, total), or True, False, None: see `display.shown`.

    Raises:
        EncoderError: if the two models have different numbers of layers, so that their layers cannot be paired.
    """
    models = {BEFORE: before, AFTER: after}
    with shown(progress) as report:
        plan = plan_study(models, (collection, *also), settings, trainings=trainings, cache=cache, progress=report)
        study = run_study(plan, report)
    forget(plan)
    return study


def run_study(plan: StudyPlan, progress: Shown = None, *, out: PathLike | None = None) -> Study:
    """Measure every analysis of a plan, except those that a stopped run has stored, and return the study.

    Args:
        progress: called with (what, done, total), or True, False, None: see `display.shown`.
        out: folder to write the report to. It is checked before anything is measured. If None, nothing is written.

    Raises:
        AnalysisError, CollectionError: if the plan needs hard negatives that cannot be made or loaded. This is checked
            before texts are encoded.
        SettingsError: if `out` holds another study or files that no study wrote, or cannot be written to.
    """
    place = None if out is None else path_of(out)
    with shown(progress) as report:
        if place is not None:
            _refuse_output(plan, place, report)
        *_, study = measure_study(plan, report)
    if place is not None:
        study.report(place)
        forget(plan)
    return study


def _refuse_output(plan: StudyPlan, folder: Path, progress: Progress | None) -> None:
    refuse_foreign_files(folder)
    prove_writable(folder)
    if (folder / FACTS).exists():
        refuse_other_study(folder, impersonal(as_values(plan.settings)), recorded_facts(plan, {}, progress))


def measure_study(plan: StudyPlan, progress: Shown = None) -> Iterator[Study]:
    """Measure the analyses of a plan, and after each one yield the study with all measurements so far.

    The last study is complete.

    Args:
        progress: called with (what, done, total), or True, False, None: see `display.shown`.

    Raises:
        AnalysisError, CollectionError: if the plan needs hard negatives that cannot be made or loaded. This is checked
            before texts are encoded.
    """
    with shown(progress) as report:
        if plan.reads_negatives:
            plan.context.negatives()
        steps = [step for step in plan.steps if step.planned is not None]
        measured: dict[str, tuple[Measurement, ...]] = {}
        reported: dict[str, Reported] = {}
        if not steps:
            yield _study(plan, measured, (), reported, report)
        for number, step in enumerate(steps, start=1):
            name = step.analysis.name
            measured = {**measured, name: (*measured.get(name, ()), _measured(step, report))}
            yield _study(plan, measured, steps[number:], reported, report)


def _study(
    plan: StudyPlan,
    measured: Mapping[str, Sequence[Measurement]],
    pending: Sequence[Step],
    reported: dict[str, Reported],
    progress: Progress | None,
) -> Study:
    """Return the study of the analyses that have been measured so far.

    Args:
        pending: the steps that are still to be run.
        reported: analysis -> its result and section from an earlier study of this run, which are reused. New results
            are added.
    """
    waiting: list[PendingFacts] = [
        {"analysis": step.analysis.name, "collection": step.context.collection.name} for step in pending
    ]
    facts: StudyFacts = {**recorded_facts(plan, measured, progress), "not_yet_run": waiting}
    return Study(facts, impersonal(as_values(plan.settings)), measured, reported)


def forget(plan: StudyPlan) -> None:
    """Remove the measurements of a run from the cache after its study is saved."""
    for step in plan.steps:
        if step.planned is not None:
            place = step.context.cache / KEPT / _key(step)
            with suppress(OSError):  # in a read-only cache nothing was stored
                remove_whole(place)
                record_of(place).unlink(missing_ok=True)


def kept_steps(plan: StudyPlan) -> list[Step]:
    """Return the steps (analysis and collection) whose measurements a stopped run has cached.

    They are read, not measured again.
    """
    planned = [step for step in plan.steps if step.planned is not None]
    return [step for step in planned if (step.context.cache / KEPT / _key(step)).exists()]


def is_measured(plan: StudyPlan, folder: Path) -> bool:
    """Return whether a folder contains a finished study with exactly the measurements that this plan would make.

    A damaged measurement does not count: it is measured again.
    """
    planned = [step for step in plan.steps if step.planned is not None]
    names = [step.analysis.name for step in planned]
    keys = {(name, names[:n].count(name)): _key(planned[n]) for n, name in enumerate(names)}
    return is_finished_as(folder, keys, impersonal(as_values(plan.settings)))


def _measured(step: Step, progress: Progress | None) -> Measurement:
    """Return the measurement of a step: read it if a stopped run stored it, otherwise measure and store it."""
    place = step.context.cache / KEPT / _key(step)
    if place.exists() and (stored := _stored(place)) is not None:
        return stored
    if step.planned is None:
        raise TypeError(f"the analysis {step.analysis.name!r} cannot run: {step.refused}")
    context = step.context.told(progress)
    measurement = step.instrument.measure(context, step.settings, step.planned)
    measurement = replace(measurement, collection=step.context.collection.name, key=_key(step))
    used(place, _origin(step))
    try:
        return _kept(measurement, place)
    except OSError as error:
        if error.errno not in CLOSED:
            raise
    with TemporaryDirectory() as scratch:  # a read-only cache, which may hold all else that is needed
        return _kept(measurement, Path(scratch) / "measurement")


def _kept(measurement: Measurement, place: Path) -> Measurement:
    """Store a measurement and return it as it is read back, so that resumed runs get the same values."""
    measurement.save(place, write_run)
    return replace(load_measurement(place), runs=measurement.runs)


def _origin(step: Step) -> CacheOrigin:
    """Return what the cache records of a step's measurement: models, collection, analysis and library versions."""
    models = tuple(model.name for model in step.context.models.values())
    name, software = step.context.collection.name, versions(LIBRARIES)
    return CacheOrigin(models=models, collection=name, analysis=step.analysis.name, software=software, form=SCHEMA)


def _stored(place: Path) -> Measurement | None:
    """Read a stored measurement; if it is damaged or of another schema, remove it and return None."""
    try:
        sealed = open_sealed(place, "")
        runs = {Path(name).stem: run_of(sealed.read(name)) for name in sealed.checksums if name.endswith(".run")}
        return replace(load_measurement(place), runs=runs)
    except (DamageError, AnalysisError) as damage:  # damaged, or of another schema
        note_remade(damage)
        with suppress(OSError):  # in a read-only cache it stays, and is left out
            remove_whole(place)
        return None


def _key(step: Step) -> str:
    """Return a hash of everything that determines the measurement of a step: models, collection, settings, software."""
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
        "inputs": None if step.instrument.inputs is None else step.instrument.inputs(step.settings),
        "software": made_by() | {"schema": str(SCHEMA), "analysis": _source(step.analysis)},
    }
    return fingerprint(made_of)[:32]


def _source(analysis: Analysis) -> str:
    """Return a hash of the code of an analysis: of all of Retroscope, or of the package that declares the analysis.

    The version alone is not enough: the code of a checkout can change while its version stays the same.
    """
    return _digest_of("retroscope" if analysis in OWN else analysis.package)


@cache
def _digest_of(package: str) -> str:
    folder = Path(str(files(package)))
    sources = sorted(file for file in folder.rglob("*") if file.suffix in (".py", ".j2"))
    return fingerprint([[file.relative_to(folder).as_posix(), file_digest(file)] for file in sources])


def _plain_settings(settings: StudySettings, name: str) -> Any:
    """Return the settings of an analysis as JSON-like values, or None if it is left out."""
    of_analysis = settings.analyses.get(name)
    return None if of_analysis is None else plain(of_analysis)
