"""StudyPlan: all steps of a study, with sizes and times, before they run; the run executes this plan."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from retroscope.analyses import analyses
from retroscope.analyses.analysis import Analysis, Instrument, Planned
from retroscope.analyses.context import Context, tower_document
from retroscope.collection.collection import Collection
from retroscope.documents import SCHEMA
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.token_memory import TokenMemory
from retroscope.errors import AnalysisError, SettingsError
from retroscope.inputs.cache import default_cache
from retroscope.inputs.load import check_ids, refuse_same_texts
from retroscope.inputs.pairing import check_pair, distinct_names
from retroscope.inputs.settings import StudySettings
from retroscope.progress import Progress
from retroscope.study.plan_text import MIB, collection_document, collection_lines, tower_lines
from retroscope.study.settings import as_values, complete, refuse_left_out, settings_of
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL


@dataclass(frozen=True, eq=False)
class Step:
    """One analysis on one collection.

    Attributes:
        number: of the collection; 0 is the first.
        planned: what it takes; `refused` says instead why it cannot be measured.
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
        """Return the name of the analysis, and of the collection unless it is the first."""
        name = self.analysis.name
        return name if self.number == 0 else f"{name} on {self.context.collection.name}"

    def reads(self, context: Context) -> bool:
        """Return whether it is measured on the collection of a context."""
        return self.context.collection.name == context.collection.name


@dataclass(frozen=True, eq=False)
class StudyPlan:
    """The plan of a study.

    Attributes:
        context: of the first collection.
        collections: the one that everything is measured on, then the others.
        settings: with those of every analysis written out.
        steps: in the order in which they are measured.
    """

    context: Context
    collections: tuple[Collection, ...]
    settings: StudySettings
    steps: tuple[Step, ...]

    @cached_property
    def towers(self) -> tuple[Mapping[str, Any], ...]:
        """Return the facts of every tower whose texts are encoded, each tower of each model once."""
        shared = [
            tower_document(role, tower) | {"collection": context.collection.name}
            for context in self._contexts()
            for role, retriever in _encoded(context).items()
            for tower in context.towers(retriever)
        ]
        own = [tower for step in self.steps if step.planned for tower in step.planned.towers]
        return (*shared, *own)

    def _contexts(self) -> list[Context]:
        """The collections whose texts are all encoded, each with its models."""
        if not any(step.planned and step.analysis.reads_vectors for step in self.steps):
            return []
        first = self.context
        return [first, *(first.on(other, first=False) for other in self.collections[1:])]

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON-like values: recipes, texts, bytes and seconds, and all settings."""
        models = _named(self.context)
        return {
            "schema": SCHEMA,
            "collections": [collection_document(one) for one in self.collections],
            "similarity": {role: one.similarity for role, one in models.items()},
            "similarity_source": {role: one.similarity_source for role, one in models.items()},
            "towers": [dict(tower) for tower in self.towers],
            "bytes": sum(tower["bytes"] for tower in self.towers if not tower["stored"]),
            "seconds": round(sum(tower["seconds"] for tower in self.towers), 1),
            "cache": str(self.context.cache),
            "analyses": [_step(step) for step in self.steps if step.planned],
            "not_measured": [_refusal(step) for step in self.refused],
            "settings": as_values(self.settings),
        }

    @property
    def reads_negatives(self) -> bool:
        """Return whether any planned analysis reads the hard negatives of the first collection."""
        return any(step.planned and step.analysis.reads_negatives for step in self.steps)

    @property
    def refused(self) -> list[Step]:
        """Return the steps that cannot be measured, except those whose input is optional."""
        return [step for step in self.steps if step.refused and not step.analysis.optional_input]

    def lines(self) -> list[str]:
        """Return the plan in words, a line a thing."""
        plan = self.document()
        lines = [line for one in plan["collections"] for line in collection_lines(one)]
        lines += [line for tower in plan["towers"] for line in tower_lines(tower, several=len(self.collections) > 1)]
        sources = plan["similarity_source"]
        lines += [
            f"{role}: vectors are compared by {name} ({sources[role]})" for role, name in plan["similarity"].items()
        ]
        lines += [line for step in self.steps if step.planned for line in step.planned.lines]
        lines += [f"{step.what}: not measured, since {step.refused}" for step in self.refused]
        lines.append(
            f"to encode: about {plan['seconds']:,.0f} s and {plan['bytes'] / MIB:,.0f} MiB in {plan['cache']}; "
            "this excludes the times listed above, search, probing and statistics"
        )
        return lines


def plan_study(
    models: Mapping[str, Retriever],
    collections: Sequence[Collection],
    settings: StudySettings | None = None,
    *,
    trainings: Sequence[Retriever] = (),
    asked: Sequence[str] = (),
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> StudyPlan:
    """Check everything that can be checked before texts are encoded, and plan every analysis on every collection.

    Args:
        models: "before" (the backbone) and "after" (the retriever fine-tuned from it), or "model" alone.
        collections: the one that everything is measured on, then others, of other kinds of text.
        settings: of the study; models and collections in it are ignored.
        trainings: further trainings of the retriever (other seeds).
        asked: analyses that the study is for: if one cannot be measured, that is an error and not a caveat.
        cache: folder of the vector stores; by default the user's cache folder.
        progress: told (what, done, total).

    Raises:
        EncoderError: if the layers of the models cannot be paired.
        SettingsError, CollectionError: for settings or collections that cannot be used.
    """
    whole = complete(settings or StudySettings())
    named = _checked(models, trainings)
    if list(named) != [MODEL]:
        refuse_left_out(whole)
    tokens = TokenMemory()
    named = {role: one.remembering(tokens) for role, one in named.items()}
    trainings = [one.remembering(tokens) for one in trainings]
    for number, collection in enumerate(collections):
        check_ids(collection)
        for other in collections[:number]:
            refuse_same_texts(other, collection)
    context = Context(
        named,
        collections[0],
        whole,
        Path(cache) if cache else default_cache(),
        trainings=_other_names(named, trainings),
        progress=progress,
    )
    renamed = _distinct_collections(collections)
    context = context.on(renamed[0], first=True)
    steps = [
        _planned(analysis, context.on(collection, first=number == 0), number)
        for analysis in analyses().values()
        if analysis.instrument is not None and settings_of(whole, analysis) is not None
        for number, collection in enumerate(renamed)
        if number == 0 or analysis.every_collection
    ]
    for step in steps:
        if step.refused and step.analysis.name in asked:
            raise AnalysisError(step.refused, where=step.what, fix="give other models, or another collection")
    by_phase = sorted(_after_the_first(steps), key=lambda step: step.analysis.phase)
    return StudyPlan(context, renamed, whole, tuple(by_phase))


def _after_the_first(steps: Sequence[Step]) -> Iterator[Step]:
    """Refuse an analysis on further collections if the first refuses it: its first result is the first collection's."""
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
        raise TypeError(f"{analysis.name} has no instrument, so it cannot be planned")
    instrument, settings = analysis.instrument(), settings_of(context.settings, analysis)
    reason = instrument.refusal(context, settings)
    planned = None if reason else instrument.plan(context, settings)
    return Step(analysis, instrument, settings, context, number, planned, reason)


def _checked(models: Mapping[str, Retriever], trainings: Sequence[Retriever]) -> dict[str, Retriever]:
    """Return the models under distinct names, if their layers can be paired.

    Raises:
        SettingsError, EncoderError: if they cannot.
    """
    if list(models) == [MODEL]:
        if trainings:
            raise SettingsError("further trainings need a pair", fix="give the backbone and the retriever")
        return dict(models)
    if list(models) != [BEFORE, AFTER]:
        raise SettingsError(
            f"a study cannot compare the models {', '.join(models)}",
            fix=f"give {BEFORE!r} and {AFTER!r}, or {MODEL!r} alone",
        )
    check_pair(models[BEFORE], models[AFTER])
    for training in trainings:
        check_pair(models[AFTER], training)
    before, after = models.values()
    if before.name == after.name:
        before, after = replace(before, name=f"{before.name} (before)"), replace(after, name=f"{after.name} (after)")
    return {BEFORE: before, AFTER: after}


def _other_names(models: Mapping[str, Retriever], trainings: Sequence[Retriever]) -> tuple[Retriever, ...]:
    """Return the further trainings, renamed if the retriever or another one has the same name."""
    return tuple(distinct_names([list(models.values())[-1], *trainings])[1:])


def _distinct_collections(collections: Sequence[Collection]) -> tuple[Collection, ...]:
    """Return the collections; a name that occurs again gets a number."""
    names: list[str] = []
    for one in collections:
        number, name = 2, one.name
        while name in names:
            name, number = f"{one.name} ({number})", number + 1
        names.append(name)
    return tuple(replace(one, name=name) for one, name in zip(collections, names, strict=True))


def _named(context: Context) -> dict[str, Retriever]:
    """Map roles to models, further trainings included."""
    others = {f"training {number}": one for number, one in enumerate(context.trainings, start=2)}
    return {**context.models, **others}


def _encoded(context: Context) -> dict[str, Retriever]:
    """Map roles to the retrievers whose vectors are computed; equal copies are one."""
    if not context.first:
        return dict(context.models)
    return _named(context) | dict(_copies(context))


def _copies(context: Context) -> Iterator[tuple[str, Retriever]]:
    """Return the distinct copies with random weights, by role."""
    copies: dict[tuple[str, str], tuple[str, Retriever]] = {}
    for role in context.models:
        copy = context.with_random_weights(role)
        if copy is not None:
            copies.setdefault((copy.query.fingerprint, copy.passage.fingerprint), (role, copy))
    for role, copy in copies.values():
        yield "random weights" if len(copies) == 1 else f"random weights of {role}", copy


def _step(step: Step) -> dict[str, Any]:
    planned = step.planned or Planned()
    what = {"analysis": step.analysis.name, "collection": step.context.collection.name}
    return what | {"seconds": round(planned.seconds, 1), **planned.document}


def _refusal(step: Step) -> dict[str, str]:
    return {"analysis": step.analysis.name, "collection": step.context.collection.name, "reason": step.refused}
