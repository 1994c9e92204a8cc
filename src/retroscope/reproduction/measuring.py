"""Measure the trials of a reproduction (one model, data set and protocol each), each as a study in its own folder."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retroscope.analyses import analyses
from retroscope.collection.collection import Collection
from retroscope.encoders.checkpoints.folders import locate, quiet
from retroscope.files.documents import SCHEMA, write_document
from retroscope.inputs.load import collection_of, retriever_of
from retroscope.inputs.settings import StudySettings
from retroscope.inputs.settings_files import merged
from retroscope.progress import Progress
from retroscope.reproduction.hub.cached import commits, data_folder, is_made_up
from retroscope.reproduction.hub.drawn_questions import drawn_rows
from retroscope.reproduction.places import Workplace, facts_if_done, trial_key
from retroscope.reproduction.trials import ModelTrial, trial_values
from retroscope.study.planning.plan import plan_study
from retroscope.study.protocols import study_settings
from retroscope.study.run import forget, run_study
from retroscope.typesetting.subject import MODEL


def measure_trials(place: Workplace, trials: Sequence[ModelTrial], progress: Progress) -> Iterator[ModelTrial]:
    """Make the measurements (trials) that are not finished, and yield each one after its results are stored."""
    collections: dict[tuple[str, str], Collection] = {}
    for trial in trials:
        if facts_if_done(place, trial) is None:
            _measure(place, trial, collections, progress)
            yield trial


def _measure(
    place: Workplace, trial: ModelTrial, collections: dict[tuple[str, str], Collection], progress: Progress
) -> None:
    """Measure one trial as its command line would, and store its results and the commits of model and data set.

    Args:
        collections: the collections read so far, by (data set, settings); a new one is added.
    """
    study = place.study
    model, data = study.models[trial.model], study.data[trial.data]
    folder = data_folder(data.source, data.folder, study.revision)
    data_used = folder
    if place.scale.limit_queries is not None:
        split = data.splits[trial.kind]
        data_used = drawn_rows(folder, split, place.scale.limit_queries, place.rows(trial.data, split))
    settings = trial_settings(trial_values(study, trial, place.scale, str(data_used)), trial.kind)
    retriever = retriever_of(settings.after)
    key = (trial.data, str(settings.data))
    if key not in collections:
        collections[key] = collection_of(settings.data)
    plan = plan_study(
        {MODEL: retriever}, [collections[key]], settings, asked=(trial.kind,), cache=place.cache, progress=progress
    )
    measured = run_study(plan, progress)
    measured.save(place.folder(trial), overwrite=True)
    forget(plan)
    facts = {
        "schema": SCHEMA,
        "key": trial_key(study, trial, place.scale),
        "trial": trial.name,
        "commits": commits(model.sources, folder, data.source),
        "made_up": is_made_up(model.sources, folder),
        "loading": published_loading(model.source) if model.published_at_random else None,
    }
    write_document(place.about(trial), facts)


def trial_settings(values: Mapping[str, Any], kind: str) -> StudySettings:
    """Return the settings of a study in which one analysis is switched on and all others are off.

    Args:
        values: the settings as nested values.
        kind: name of the analysis, "probes" or "neurons".
    """
    measured = [name for name, analysis in analyses().items() if analysis.instrument and not analysis.optional_input]
    return study_settings(merged(values, {name: None for name in measured if name != kind}))


def published_loading(source: str) -> dict[str, int]:
    """Load a checkpoint as the published code does (by AutoModel), and count the weights that get random values.

    "weights" counts all weights of the model, and "missing" those that AutoModel does not find in the checkpoint.
    """
    from transformers import AutoModel

    with quiet():
        model, info = AutoModel.from_pretrained(locate(source), output_loading_info=True)
    return {"weights": len(model.state_dict()), "missing": len(info["missing_keys"])}
