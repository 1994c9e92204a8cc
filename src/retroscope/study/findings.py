"""Findings: everything a report of `compare(before, after)` says, in one frozen value.

The study room fills it; nothing here computes. "Before" is the backbone, "after" the
retriever fine-tuned from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from retroscope.analyses.baselines.result import BaselineFindings
from retroscope.analyses.localisation.result import StoryFindings
from retroscope.analyses.neurons.result import NeuronFindings, demand_columns
from retroscope.analyses.representations.result import BareLayers, ElsewhereFindings, MovedFindings
from retroscope.analyses.trainings.result import TrainingFindings
from retroscope.analyses.transplants.result import TransplantFindings
from retroscope.errors import AnalysisError, unknown_name
from retroscope.statistics import Difference
from retroscope.typesetting.subject import AFTER, BEFORE, CollectionFacts, Model

SEED_COLUMNS = ("side", "probe", "control", "n_passages", "layer", "sd", "train_accuracy")


@dataclass(frozen=True)
class RankedPassage:
    """A passage that a retriever put near the top."""

    id: str
    text: str
    score: float
    relevant: bool


@dataclass(frozen=True)
class TopPassages:
    """The top of both rankings for one query, best first."""

    before: tuple[RankedPassage, ...]
    after: tuple[RankedPassage, ...]


@dataclass(frozen=True, eq=False)
class Findings:
    """What one comparison found.

    Attributes:
        title: of the report.
        protocol: "default" or "ielab-2025".
        before: the backbone.
        after: the retriever fine-tuned from it.
        collection: what was searched.
        retrieval: paired difference over `measure`.
        primary_measure: the measure of the headline.
        flip_measure: the measure by which queries are listed as gained or lost.
        layer_retrieval: over (layer, measure).
        probing: over (probe, control, passages, layer); accuracy per query.
        seed_spread: columns `SEED_COLUMNS`; standard deviation of the accuracy over seeds, and the mean accuracy on
            the training choices (NaN where nothing is fitted).
        neurons: of both sides, and their paired difference.
        query_neurons: those of the query tower, where `neurons` are those of the passage tower alone.
        moved: weights and representations, compared.
        whitened: retrieval with the whitened vectors of both, paired.
        elsewhere: retrieval and representations on a second collection.
        bare: layers without the final norm, where all others are with it; None where a model has none.
        transplants: retrieval with hybrids of the two.
        baselines: what the frozen backbone retrieves at its best.
        trainings: retrieval and probes of several trainings, over trainings and queries together.
        story: what the instruments say of the same blocks, held against the transplants.
        query_texts: query id -> text, for the flips table.
        top_passages: query id -> both rankings' tops, for the flips table.
        caveats: what a reader must know before any number.
        command: the command line that repeats the study.
        settings: the resolved settings of the study.
        versions: library -> version.
        timings: stage -> seconds.
    """

    title: str
    protocol: str
    before: Model
    after: Model
    collection: CollectionFacts
    retrieval: Difference
    primary_measure: str
    flip_measure: str
    layer_retrieval: Difference | None = None
    probing: Difference | None = None
    seed_spread: pd.DataFrame | None = None
    neurons: NeuronFindings | None = None
    query_neurons: NeuronFindings | None = None
    moved: MovedFindings | None = None
    whitened: Difference | None = None
    elsewhere: ElsewhereFindings | None = None
    bare: BareLayers | None = None
    transplants: TransplantFindings | None = None
    baselines: BaselineFindings | None = None
    trainings: TrainingFindings | None = None
    story: StoryFindings | None = None
    query_texts: Mapping[str, str] = field(default_factory=dict)
    top_passages: Mapping[str, TopPassages] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()
    command: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        measures = [str(m) for m in self.retrieval.table.coords["measure"].values]
        for wanted in (self.primary_measure, self.flip_measure):
            if wanted not in measures:
                raise unknown_name("measure of the retrieval findings", wanted, measures)
        if self.seed_spread is not None:
            demand_columns("seed spread", self.seed_spread, SEED_COLUMNS)
        for neurons in self.neurons_by_tower:
            if list(neurons.sides) != [BEFORE, AFTER]:
                raise AnalysisError(
                    f"neurons of the sides {list(neurons.sides)} in a comparison",
                    where="findings",
                    fix=f"give those of {BEFORE!r} and {AFTER!r}, in this order",
                )

    @property
    def neurons_by_tower(self) -> tuple[NeuronFindings, ...]:
        """Those that were measured."""
        return tuple(found for found in (self.neurons, self.query_neurons) if found is not None)

    def side(self, name: str) -> Model:
        """The model of the "before" or the "after" side."""
        return {BEFORE: self.before, AFTER: self.after}[name]

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Labels of the layers, those of the retriever."""
        return self.after.layer_names

    def layer_label(self, layer: int) -> str:
        """How a layer is printed, e.g. "6 (post-norm)"; its number where no label is known."""
        names = self.layer_names
        return names[layer] if 0 <= layer < len(names) else str(layer)
