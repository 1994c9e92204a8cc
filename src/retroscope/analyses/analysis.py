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
    """Which vectors of all queries and passages an analysis needs: none, final vectors, or those of every layer."""

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
    """Settings of an analysis at one level of cost. Levels go from cheap and imprecise to expensive and precise.

    `--depth` selects the cheapest, the default or the most expensive level, `--time` the most expensive one that fits.

    Attributes:
        values: settings that differ from the defaults, JSON-like. None leaves the analysis out.
        half_width: half-width of the confidence interval of the main result, divided by the half-width with the default
            settings. It is estimated from the number of queries n as 1 / sqrt(n), and used only to choose between
            sizes.
    """

    values: Mapping[str, Any] | None
    half_width: float = 1.0


STANDARD = AnalysisSize({})
LEFT_OUT = 8.0  # half-width of an analysis that is left out, as a multiple of the defaults': any size is better
TRAININGS = "trainings"  # `Analysis.optional_input`: other training runs of the retriever
DEPTHS = ("glance", "standard", "thorough")  # the first size of every analysis, the defaults, the last


class TowerWork(TypedDict):
    """Plan for encoding the queries or the passages of a collection with one model: texts, tokens, bytes and seconds.

    "tower" is "query" or "passage". "model" is the model's role in the study, e.g. "before", "after" or "training 2".
    "bytes" is the size of the vectors on disk, before compression. "within" is the role of another model whose
    forward pass also gives these vectors, or "" if there is no such model. "seconds" is 0 if there is one, or if the
    vectors are already "stored". "key" is the name of their folder in the cache.
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
    """Plan of one analysis on one collection: a description, the estimated time, and prepared inputs.

    Attributes:
        lines: the plan in words, one line for each item. `--dry-run` prints them.
        seconds: estimated time, without the encoding of texts that is planned for all analyses together.
        document: the plan as JSON-like values.
        encodes: name (as the plan shows it) -> retriever that encodes the collection for this analysis alone.
        random_weights: models ("before", "after"). The analysis also measures a copy of each with random weights, if
            the settings allow that control.
        work: inputs that are already prepared for `Instrument.measure`, e.g. probe examples, so that they are not
            prepared twice.
    """

    lines: tuple[str, ...] = ()
    seconds: float = 0.0
    document: Mapping[str, Any] = field(default_factory=dict)
    encodes: "Mapping[str, Retriever]" = field(default_factory=dict)
    random_weights: tuple[str, ...] = ()
    work: Any = None


@dataclass(frozen=True)
class Instrument:
    """The functions of an analysis that check whether it can be measured, estimate its time, and measure it.

    They are imported only when something is measured, so they may import torch.

    Attributes:
        refusal: (context, settings) -> the reason why this cannot be measured, or "" if it can. It encodes no text. A
            user's mistake is raised as an error instead.
        plan: (context, settings) -> the plan of the measurement.
        measure: (context, settings, plan) -> what was measured on `context.collection`.
        as_measured: (context, model) -> the model with the recipe (pooling, prompt ...) that the analysis uses for it.
            None if the analysis uses each model's own recipe. A report on this analysis alone shows the returned
            recipe.
        inputs: settings -> a hash of the files that the settings name, so that a measurement of other files is not
            reused. None if the settings name no file.
        keeps: kinds of cache entries that the analysis stores in addition to its measurements. `retroscope cache` lists
            and checks them.
    """

    refusal: Callable[["Context", Any], str]
    plan: Callable[["Context", Any], Planned]
    measure: Callable[["Context", Any, Planned], "Measurement"]
    as_measured: "Callable[[Context, Retriever], Retriever] | None" = None
    inputs: Callable[[Any], str] | None = None
    keeps: "tuple[EntryKind, ...]" = ()


@dataclass(frozen=True)
class Reporter:
    """The functions of an analysis that test its measurements and write its section of the report.

    None of them imports torch.

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
        sizes: its choices of settings by cost, from the cheapest to the most expensive, `STANDARD` among them.
        precisions: dotted names of its settings, e.g. "ablation.precision", that `compare --precision` sets. They are
            precisions of forward passes whose vectors are not stored.
        phase: when it is measured. Analyses of one phase are measured in the order of the report.
        needs: names of the analyses whose results or sections its reporter reads, if they were measured.
        every_collection: whether it is measured on every collection, not only on the first.
        required: whether it cannot be left out of a comparison.
        vectors: which vectors of all queries and passages it always needs. The plan of a study includes the time of
            encoding them.
        reads_negatives: whether it uses the hard negatives of the first collection.
        sums_up: names of those analyses in `needs` whose `Section.details` it summarises.
        optional_input: name of an input that it needs but that not every study has, e.g. `TRAININGS`, or "". Without
            this input, the analysis is left out, and its `Instrument.refusal` is not reported as a caveat.
        on_request: whether it is measured only if its settings are given or `--NAME` asks for it, e.g. because it would
            take more than a quarter of the time of a study.
        option: option of the command without which it is not measured, e.g. "--training MODEL"; "" if it needs none.
        answers: questions on the first screen of the report that it can answer.
        over_trainings: whether its section also reports other training runs of the retriever and labels their numbers.
            Every other section is labelled as describing the first training run alone.
    """

    name: str
    title: str
    question: str
    package: str
    settings: Callable[[], type]
    reporter: Callable[[], Reporter]
    instrument: Callable[[], Instrument] | None = None
    sizes: tuple[AnalysisSize, ...] = (STANDARD,)
    precisions: tuple[str, ...] = ()
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
    """Return the command-line option that switches an analysis off, or on if it runs only on request.

    It is `--no-NAME` or `--NAME`.
    """
    name = analysis.name.replace("_", "-")
    return f"--{name}" if analysis.on_request else f"--no-{name}"


@dataclass(frozen=True, kw_only=True)
class NoSettings:
    """Empty settings, for an analysis in which there is nothing to set."""
