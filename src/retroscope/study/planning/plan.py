"""Plan all steps of a study, with sizes and times, before they run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from retroscope.analyses import analyses
from retroscope.analyses.analysis import Analysis, Instrument, Planned, TowerWork
from retroscope.analyses.context import Context
from retroscope.analyses.encoded import encoded_retrievers, encoded_towers, named_retrievers
from retroscope.collection.collection import Collection
from retroscope.display import Shown, shown
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.token_memory import TOKENS, TokenMemory
from retroscope.engine.choice import Engine
from retroscope.errors import AnalysisError
from retroscope.files.documents import SCHEMA
from retroscope.files.reading import PathLike, path_of
from retroscope.inputs.cache import default_cache
from retroscope.inputs.load import check_ids, refuse_same_texts
from retroscope.inputs.pairing import distinct_collections
from retroscope.inputs.settings import StudySettings
from retroscope.study.planning.models import checked_models, other_names, refuse_unloaded
from retroscope.study.planning.plan_text import collection_document, collection_lines, time_lines, tower_lines
from retroscope.study.settings import as_values, complete, refuse_left_out, refuse_missing_layers, settings_of
from retroscope.typesetting.subject import MODEL, RefusedFacts

# Seconds for the statistics and figures of one analysis on one collection, as measured by benchmarks/plan.py: a fixed
# number, and a number for each query that is resampled.
REPORTED, RESAMPLED = 1.0, 5e-3


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a study: one analysis on one collection, which is either planned or refused.

    Attributes:
        number: index of the collection (0: the first).
        planned: plan of the analysis, or None if the step is refused.
        refused: reason why the analysis cannot be measured, or "".
    """

    analysis: Analysis
    instrument: Instrument
    settings: Any
    context: Context
    number: int
    planned: Planned | None
    refused: str = ""

    @property
    def what(self) -> str:
        """Return the name of the step: the analysis and, from the second collection on, the collection."""
        name = self.analysis.name
        return name if self.number == 0 else f"{name} on {self.context.collection.name}"

    def reads(self, context: Context) -> bool:
        """Return whether the analysis of this step is measured on the collection of `context`."""
        return self.context.collection.name == context.collection.name


@dataclass(frozen=True, eq=False)
class StudyPlan:
    """Plan of a study: its steps, models and collections.

    Attributes:
        context: the models, the first collection, the settings and the cache.
        collections: the first collection, on which everything is measured, then the further collections.
        settings: the settings, with those of every analysis written out.
        steps: the steps, in the order in which they are measured.
        towers: planned encoding of every tower of every model.
        too_long: names of the analyses that are left out because none of their sizes fits into the time.
    """

    context: Context
    collections: tuple[Collection, ...]
    settings: StudySettings
    steps: tuple[Step, ...]
    towers: tuple[TowerWork, ...]
    too_long: tuple[str, ...] = ()

    def with_engine(self, engine: Engine) -> "StudyPlan":
        """Return the plan with another engine (local or Ray) that encodes the texts; no number changes."""
        steps = tuple(replace(step, context=replace(step.context, engine=engine)) for step in self.steps)
        return replace(self, context=replace(self.context, engine=engine), steps=steps)

    @cached_property
    def seconds(self) -> Mapping[str, float]:
        """Return the estimated seconds of every stage: encoding of each model, each analysis, statistics and report."""
        stages: dict[str, float] = {}
        for tower in self.towers:
            name = f"encoding of {tower['model']}"
            stages[name] = stages.get(name, 0.0) + tower["seconds"]
        stages |= {step.what: step.planned.seconds for step in self.steps if step.planned}
        return stages | {"statistics and report": self._report_seconds()}

    def _report_seconds(self) -> float:
        """Estimate the seconds of tests, intervals, tables and figures."""
        measured = [step for step in self.steps if step.planned]
        return sum(REPORTED + RESAMPLED * len(step.context.collection.judged_queries) for step in measured)

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON-like values: recipes, texts, bytes and seconds, and all settings."""
        models = named_retrievers(self.context)
        return {
            "schema": SCHEMA,
            "collections": [collection_document(collection) for collection in self.collections],
            "similarity": {role: model.similarity for role, model in models.items()},
            "similarity_source": {role: model.similarity_source for role, model in models.items()},
            "towers": [dict(tower) for tower in self.towers],
            "bytes": sum(tower["bytes"] for tower in self.towers if not tower["stored"]),
            "seconds": round(sum(self.seconds.values()), 1),
            "stages": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "cache": str(self.context.cache),
            "analyses": [_step(step) for step in self.steps if step.planned],
            "not_measured": [refused_step(step) for step in self.refused],
            "settings": as_values(self.settings),
        }

    @property
    def reads_negatives(self) -> bool:
        """Return whether any planned analysis reads the hard negatives of the first collection."""
        return any(step.planned and step.analysis.reads_negatives for step in self.steps)

    @property
    def refused(self) -> list[Step]:
        """Return the steps (one analysis on one collection each) that cannot be measured.

        Steps that only lack optional input, e.g. other training runs, are left out.
        """
        return [step for step in self.steps if step.refused and not step.analysis.optional_input]

    def lines(self, *, times: bool = True) -> list[str]:
        """Return the plan as lines of text, with or without a table of times."""
        plan = self.document()
        lines = [line for collection in plan["collections"] for line in collection_lines(collection)]
        lines += tower_lines(plan["towers"], several=len(self.collections) > 1)
        sources = plan["similarity_source"]
        lines += [
            f"{role}: vectors are compared by {name} ({sources[role]})" for role, name in plan["similarity"].items()
        ]
        lines.append(f"to measure: {', '.join(step.what for step in self.steps if step.planned)}")
        lines += [f"{self._on(step)}{line}" for step in self.steps if step.planned for line in step.planned.lines]
        lines += [f"{step.what}: not measured, since {step.refused}" for step in self.refused]
        return [*lines, *(time_lines(plan) if times else ())]

    def _on(self, step: Step) -> str:
        """Return the prefix "COLLECTION: " of a step's lines, or "" if its analysis uses the first collection only."""
        several = len(self.collections) > 1 and step.analysis.every_collection
        return f"{step.context.collection.name}: " if several else ""


def plan_study(
    models: Mapping[str, Retriever],
    collections: Sequence[Collection],
    settings: StudySettings | None = None,
    *,
    trainings: Sequence[Retriever] = (),
    asked: Sequence[str] = (),
    cache: PathLike | None = None,
    progress: Shown = None,
) -> StudyPlan:
    """Check everything that can be checked before texts are encoded, and plan every analysis on every collection.

    Args:
        models: "before" (the backbone) and "after" (the retriever fine-tuned from it), or "model" alone.
        collections: the collection on which everything is measured, then further collections with other kinds of text.
        settings: settings of the study. Models and collections in them are ignored.
        trainings: other training runs of the retriever (other seeds).
        asked: analyses that the study was started for. It is an error, not a caveat, if one of them cannot be measured.
        cache: folder of the vector stores, by default the user's cache folder.
        progress: called with (what, done, total), by default shown in a terminal and a notebook (see `display.shown`).

    Raises:
        EncoderError: if the layers of the models cannot be paired.
        SettingsError, CollectionError: for settings or collections that cannot be used.
    """
    refuse_unloaded((*models.values(), *trainings), collections)
    whole = complete(settings or StudySettings())
    named = checked_models(models, trainings)
    if list(named) != [MODEL]:
        refuse_left_out(whole)
    folder = path_of(cache) if cache else default_cache()
    tokens = TokenMemory(folder / TOKENS)
    named = {role: model.remembering(tokens) for role, model in named.items()}
    trainings = [training.remembering(tokens) for training in trainings]
    for number, collection in enumerate(collections):
        check_ids(collection)
        for other in collections[:number]:
            refuse_same_texts(other, collection)
    renamed, others = distinct_collections(collections), other_names(named, trainings)
    context = Context(named, renamed[0], whole, folder, trainings=others, further=len(renamed) - 1)
    with shown(progress) as report:
        plan = _plan(context.told(report), renamed, asked)
        tokens.save()
    return plan


def replanned(plan: StudyPlan, settings: StudySettings, asked: Sequence[str] = ()) -> StudyPlan:
    """Plan the same models and collections with other settings, without tokenising the texts again."""
    return _plan(replace(plan.context, settings=complete(settings)).told(None), plan.collections, asked)


def _plan(context: Context, collections: tuple[Collection, ...], asked: Sequence[str]) -> StudyPlan:
    """Plan every analysis on every collection, and the encoding of the texts."""
    steps = [
        _planned(analysis, context.on(collection, first=number == 0), number)
        for analysis in measured_analyses(context.settings)
        for number, collection in enumerate(collections)
        if number == 0 or analysis.every_collection
    ]
    for step in steps:
        if step.refused and step.analysis.name in asked:
            raise AnalysisError(
                f"this analysis cannot run, since {step.refused}",
                where=step.what,
                fix="give other models, or another collection",
            )
    final = tuple(sorted(_after_the_first(steps), key=lambda step: step.analysis.phase))
    planned = [step for step in final if step.planned]
    refuse_missing_layers(context.settings, {step.analysis.name: step.analysis for step in planned}.values())
    towers: list[TowerWork] = []
    contexts: list[Context] = []
    for number, collection in enumerate(collections):
        on_collection = context.on(collection, first=number == 0)
        retrievers = _to_encode(on_collection, planned)
        towers += encoded_towers(on_collection, retrievers)
        contexts.append(replace(on_collection, to_encode=tuple(retrievers.values())))
    encoding = tuple(replace(step, context=contexts[step.number]) for step in final)
    return StudyPlan(contexts[0], collections, context.settings, encoding, tuple(towers))


def _to_encode(context: Context, steps: Sequence[Step]) -> dict[str, Retriever]:
    """Return every retriever that encodes texts of the collection, by its role, e.g. "before" or "random weights"."""
    reads = any(step.analysis.vectors for step in steps)
    shared = encoded_retrievers(context, _random_weights(steps, context)) if reads else {}
    own = [step.planned.encodes for step in steps if step.planned and step.reads(context)]
    return shared | {role: retriever for encodes in own for role, retriever in encodes.items()}


def _random_weights(steps: Sequence[Step], context: Context) -> list[str]:
    """Return the roles ("before", "after") of the models whose random-weight control these steps need."""
    planned = [step.planned for step in steps if step.planned and step.reads(context)]
    return list(dict.fromkeys(side for plan in planned for side in plan.random_weights))


def measured_analyses(settings: StudySettings) -> list[Analysis]:
    """Return the analyses that the settings do not leave out, in the order in which they are measured."""
    measuring = (analysis for analysis in analyses().values() if analysis.instrument is not None)
    active = (analysis for analysis in measuring if settings_of(settings, analysis) is not None)
    return sorted(active, key=lambda analysis: analysis.phase)


def _after_the_first(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield the steps. An analysis that is refused on the first collection is refused on all others."""
    refused = {step.analysis.name: step.refused for step in steps if step.number == 0}
    for step in steps:
        reason = refused[step.analysis.name]
        if step.number and reason:
            yield replace(step, planned=None, refused=f"on the first collection {reason}")
        else:
            yield step


def _planned(analysis: Analysis, context: Context, number: int) -> Step:
    """Plan one analysis on one collection, or refuse it with the reason."""
    if analysis.instrument is None:
        raise TypeError(f"the analysis {analysis.name!r} declares no `instrument`, so it cannot be planned")
    instrument, settings = analysis.instrument(), settings_of(context.settings, analysis)
    reason = instrument.refusal(context, settings)
    planned = None if reason else instrument.plan(context, settings)
    return Step(analysis, instrument, settings, context, number, planned, reason)


def _step(step: Step) -> dict[str, Any]:
    planned = step.planned or Planned()
    what = {"analysis": step.analysis.name, "collection": step.context.collection.name}
    return what | {"seconds": round(planned.seconds, 1), **planned.document}


def refused_step(step: Step) -> RefusedFacts:
    """Return a refused step as JSON-like values: analysis, collection and reason."""
    return {"analysis": step.analysis.name, "collection": step.context.collection.name, "reason": step.refused}
