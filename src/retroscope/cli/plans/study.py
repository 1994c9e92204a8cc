"""Load the models and collections of a study and plan it, for the commands that measure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from retroscope.cli.terminal import note
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.engine.choice import Engine
from retroscope.inputs.load import collection_of, pair_of, retriever_of
from retroscope.inputs.settings import StudySettings
from retroscope.progress import Progress
from retroscope.study.outcome import Runnable
from retroscope.study.planning.plan import plan_study
from retroscope.study.planning.plan_text import counts
from retroscope.study.several.plan import MakePlan
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL


def plan_study_of_pair(
    settings: StudySettings, cache: Path, asked: Sequence[str], progress: Progress, *, engine: Engine
) -> Runnable:
    """Load a backbone, its retriever and other training runs, and plan their study."""
    before, after = pair_of(settings.before, settings.after)
    collections = _collections(settings)
    return _planned({BEFORE: before, AFTER: after}, collections, settings, cache, asked, progress, engine=engine)


def planner_of_set(settings: StudySettings, cache: Path, asked: Sequence[str], *, engine: Engine) -> MakePlan:
    """Load the backbone and collections of a set of studies, and return a function that plans each study.

    Args:
        settings: settings of any study of the set. Backbone and collections are the same in all of them.
    """
    backbone, collections = retriever_of(settings.before, "backbone"), _collections(settings)

    def planned(own: StudySettings, progress: Progress) -> Runnable:
        before, after = pair_of(own.before, own.after, backbone)
        return _planned({BEFORE: before, AFTER: after}, collections, own, cache, asked, progress, engine=engine)

    return planned


def plan_study_of_model(
    settings: StudySettings, cache: Path, asked: Sequence[str], progress: Progress, *, engine: Engine
) -> Runnable:
    """Load one retriever and plan its study."""
    model, collections = retriever_of(settings.after), _collections(settings)
    return _planned({MODEL: model}, collections, settings, cache, asked, progress, engine=engine)


def _collections(settings: StudySettings) -> list[Collection]:
    """Load the collections of a study, and print their sizes."""
    collections = [collection_of(settings.data), *(collection_of(data) for data in settings.also)]
    note(counts(collections))
    return collections


def _planned(
    models: Mapping[str, Retriever],
    collections: Sequence[Collection],
    settings: StudySettings,
    cache: Path,
    asked: Sequence[str],
    progress: Progress,
    *,
    engine: Engine,
) -> Runnable:
    trainings = [retriever_of(model, "training run") for model in settings.trainings]
    plan = plan_study(models, collections, settings, trainings=trainings, asked=asked, cache=cache, progress=progress)
    return Runnable(plan.with_engine(engine), everything=bool(asked))
