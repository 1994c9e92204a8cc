"""Make the plan of a study from its settings; the command line loads models and collections only here."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from retroscope.cli.terminal import note
from retroscope.encoders.encoder import Retriever
from retroscope.engine.choice import Engine
from retroscope.inputs.load import collection_of, pair_of, retriever_of
from retroscope.inputs.settings import StudySettings
from retroscope.progress import Progress
from retroscope.study.outcome import Runnable
from retroscope.study.planning.plan import measured_analyses, plan_study
from retroscope.study.planning.plan_text import counts
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL


def plan_study_of_pair(
    settings: StudySettings, cache: Path, asked: Sequence[str], progress: Progress, *, engine: Engine
) -> Runnable:
    """Load a backbone, its retriever and further training runs, and plan their study."""
    before, after = pair_of(settings.before, settings.after)
    return _planned({BEFORE: before, AFTER: after}, settings, cache, asked, progress, engine=engine)


def plan_study_of_model(
    settings: StudySettings, cache: Path, asked: Sequence[str], progress: Progress, *, engine: Engine
) -> Runnable:
    """Load one retriever, and plan its study."""
    return _planned({MODEL: retriever_of(settings.after)}, settings, cache, asked, progress, engine=engine)


def _planned(
    models: Mapping[str, Retriever],
    settings: StudySettings,
    cache: Path,
    asked: Sequence[str],
    progress: Progress,
    *,
    engine: Engine,
) -> Runnable:
    collections = [collection_of(settings.data), *(collection_of(one) for one in settings.also)]
    trainings = [retriever_of(one, "training run") for one in settings.trainings]
    note(counts(collections, [analysis.name for analysis in measured_analyses(settings)]))
    plan = plan_study(models, collections, settings, trainings=trainings, asked=asked, cache=cache, progress=progress)
    return Runnable(plan.with_engine(engine), everything=bool(asked))
