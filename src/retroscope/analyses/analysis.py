"""The type `Analysis`: one question that a study asks, and the functions that measure and report the answer. Light to
import: no torch, no figures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from retroscope.analyses.context import Context
    from retroscope.analyses.measurement import Measurement
    from retroscope.analyses.section import Reading, Section
    from retroscope.encoders.encoder import Retriever
    from retroscope.encoders.recipe import RecipeFacts
    from retroscope.files.cache_records import EntryKind


class VectorsRead(IntEnum):
    """Which stored vectors of all texts an analysis always reads."""

    NONE = 0
    FINAL = 1  # those with which the retriever searches
    LAYERS = 2  # those of every layer


class Phase(IntEnum):
    """Phases of a study, in the order of measurement: analyses with a low cost and important answers come first."""

    WEIGHTS = 0  # reads no text
    SEARCH = 1  # encodes all texts and says whether retrieval changed
    VECTORS = 2  # reads vectors that are stored by then
    INTERVENTIONS = 3  # encodes texts again and again, with other weights or fixed neurons


@dataclass(frozen=True)
class AnalysisSize:
    """One size of an analysis: `--depth` chooses the smallest, default or largest, `--time` the largest that fits.

    Attributes:
        values: settings that differ from the defaults, JSON-like. None leaves the analysis out.
        half_width: half-width of the interval of the analysis's main result, as a multiple of that with the defaults.
            It is estimated from the numbers of queries (1 / sqrt(n)), and used only to choose between sizes.
    """

    values: Mapping[str, Any] | None
    half_width: float = 1.0


STANDARD = AnalysisSize({})
LEFT_OUT = 8.0  # half-width of an analysis that is left out, as a multiple of the defaults': any size is better
TRAININGS = "trainings"  # `Analysis.optional_input`: further trainings of the retriever
DEPTHS = ("glance", "standard", "thorough")  # the first size of every analysis, the defaults, the last


class TowerWork(TypedDict):
    """Planned encoding of one collection's texts by one tower of one model: numbers of texts and tokens, bytes,
    seconds.

    "seconds" and "bytes" count what is not "stored" yet. "model" is a role, e.g. "after". "key" names the store.
    "within" is the role of the model in whose pass it is encoded, or "" if it has its own pass.
    """

    model: str
    tower: str
    collection: str
    texts: int
    distinct: int
    tokens: int
    at_max_length: int
    bytes: int
    seconds: float
    stored: bool
    recipe: "RecipeFacts"
    key: str
    within: str


@dataclass(frozen=True)
class Planned:
    """Plan of one analysis on one collection: its lines, time, and prepared work.

    Attributes:
        lines: the plan in words, one line for each item. `--dry-run` prints them.
        seconds: estimated time, without the encoding of texts that is planned for all analyses together.
        document: the plan as JSON-like values.
        encodes: role -> retriever whose texts are encoded for this analysis alone.
        random_weights: models whose copies with random weights it reads, if the settings allow that control.
        work: what `Instrument.measure` consumes, so that nothing is computed twice.
    """

    lines: tuple[str, ...] = ()
    seconds: float = 0.0
    document: Mapping[str, Any] = field(default_factory=dict)
    encodes: "Mapping[str, Retriever]" = field(default_factory=dict)
    random_weights: tuple[str, ...] = ()
    work: Any = None


@dataclass(frozen=True)
class Instrument:
    """The functions by which an analysis refuses, plans and runs its measurement. They may import torch: they are
    imported when something is measured.

    Attributes:
        refusal: (context, settings) -> why this cannot be measured, empty if it can. It encodes nothing. A user's
            mistake is raised as an error instead.
        plan: (context, settings) -> the plan of the measurement.
        measure: (context, settings, plan) -> what was measured on `context.collection`.
        as_measured: (context, model) -> the model under the recipe that it is measured with, or None if that is its own
            recipe. A study of this analysis alone describes its models by this recipe.
        inputs: settings -> a hash of the files that they name, so that a stored measurement of other files is not
            reused. None if the settings name no file.
        keeps: what it stores in the cache in addition to its measurements, for `retroscope cache`.
    """

    refusal: Callable[["Context", Any], str]
    plan: Callable[["Context", Any], Planned]
    measure: Callable[["Context", Any, Planned], "Measurement"]
    as_measured: "Callable[[Context, Retriever], Retriever] | None" = None
    inputs: Callable[[Any], str] | None = None
    keeps: "tuple[EntryKind, ...]" = ()


@dataclass(frozen=True)
class Reporter:
    """The functions that turn measurements into a tested result and a section of the report; none imports torch.

    Attributes:
        infer: (measurements, reading) -> the result: paired differences with intervals and tests. There is one
            measurement for each measured collection, beginning with the first collection. An analysis that measures
            nothing has no measurements. The result is None if there is nothing to report.
        report: (result, reading) -> its section of the report.
        alone: (measurement, reading) -> its section for a single model, without a comparison.
    """

    infer: Callable[[Sequence["Measurement"], "Reading"], Any]
    report: Callable[[Any, "Reading"], "Section"]
    alone: "Callable[[Measurement, Reading], Section] | None" = None


@dataclass(frozen=True)
class Analysis:
    """One question that a study asks, with its settings and the functions that measure and report the answer.

    Attributes:
        name: name of its folder, its settings, the option `--no-NAME`, its section of the page and its key in
            `summary.json`.
        title: heading of its section.
        question: the question that it answers, which is the help text of its option.
        package: package with its templates `section.html.j2` and `sources.html.j2`.
        settings: function that returns the class of its settings, a frozen dataclass with a default for every field.
        reporter: function that returns its `Reporter`.
        instrument: function that returns its `Instrument`, or None for an analysis that only reads the results of
            others.
        sizes: its sizes, from the smallest to the largest, `STANDARD` among them.
        phase: when it is measured; within a phase, in reading order.
        needs: names of the analyses whose results or sections its reporter reads, if they were measured.
        every_collection: whether it is measured on every collection, not only on the first.
        required: whether it cannot be left out of a comparison.
        vectors: which vectors of all texts it always reads; the plan of a study includes the time of encoding them.
        reads_negatives: whether it reads the hard negatives of the first collection.
        sums_up: names of the needed analyses whose `Section.details` it summarises.
        optional_input: name of the input that it needs and that not every study has, e.g. `TRAININGS`; "": none.
            Without this input the analysis is left out, and `Instrument.refusal` gives no caveat.
        on_request: whether it is measured only if its settings are given or `--NAME` asks for it, e.g. because it would
            take more than a quarter of the time of a study.
        option: option that the command needs for it, e.g. "--training MODEL"; "": it is measured unless it is left out.
        answers: questions of the first screen that it can answer.
        over_trainings: whether its section also reports further trainings of the retriever and labels their numbers.
            Every other section is labelled as that of the first training alone.
    """

    name: str
    title: str
    question: str
    package: str
    settings: Callable[[], type]
    reporter: Callable[[], Reporter]
    instrument: Callable[[], Instrument] | None = None
    sizes: tuple[AnalysisSize, ...] = (STANDARD,)
    phase: Phase = Phase.VECTORS
    needs: tuple[str, ...] = ()
    every_collection: bool = False
    required: bool = False
    vectors: VectorsRead = VectorsRead.LAYERS
    reads_negatives: bool = False
    sums_up: tuple[str, ...] = ()
    optional_input: str = ""
    on_request: bool = False
    option: str = ""
    answers: tuple[str, ...] = ()
    over_trainings: bool = False


def switch_of(analysis: Analysis) -> str:
    """Return the option that switches an analysis off, or on if it is measured on request only."""
    name = analysis.name.replace("_", "-")
    return f"--{name}" if analysis.on_request else f"--no-{name}"


@dataclass(frozen=True, kw_only=True)
class NoSettings:
    """Settings of an analysis that has no settings of its own."""
