"""Settings of the attribution and ablation of neurons. No torch."""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np

from retroscope.attribution.settings import AttributionSettings
from retroscope.attribution.top_neurons.selection import BY
from retroscope.encoders.precision import EXACT, check_precision
from retroscope.errors import SettingsError, unknown_name
from retroscope.ranges import AnyNumber, Distinct, OneOrMore, Range, Seed, check_ranges
from retroscope.retrieval.measures import check_distinct_measures
from retroscope.statistics.area import area_weights
from retroscope.statistics.resampling.intervals import IntervalSettings

ENOUGH = 50  # held-out queries; with fewer all are measured, and the result says so
VALUES = ("mean", "zero")
BESIDE = {"share": "signed", "magnitude": "signed", "signed": "magnitude"}  # ranking -> the one shown beside it
TOWERS = {"query": ("query",), "passage": ("passage",), "both": ("query", "passage")}


@dataclass(frozen=True, kw_only=True)
class NeuronAblationSettings:
    """Settings of the ablation of neurons: which neurons are fixed, at which value, and which passages are searched.

    Attributes:
        fractions: fractions of the neurons to fix, in rising order, e.g. 0.01 for the top 1 %. Each is rounded to a
            whole number of neurons, at least one. Each fraction costs up to `4 + draws` encodings of the searched
            texts, so there are only six by default, each about three times the one before.
        by: quantity by which neurons are ranked: "share" (magnitude of the attribution, divided by the largest
            magnitude in the example, as published), "magnitude" or "signed" (see
            `attribution.top_neurons.selection.ranked`).
        parts: FFN matrices whose neurons are ranked and fixed. If None, the first attributed one of "intermediate",
            "up" and "output", because magnitudes of different matrices are not on one scale.
        fixed_at: value at which an ablated neuron is fixed: its "mean" over the tower's texts of this collection, or
            "zero".
        tower: tower whose texts are encoded with neurons fixed: "query", "passage" or "both". If None, the attributed
            tower.
        draws: the largest number of random sets for each fraction. The random set of a larger fraction contains the set
            of the same draw for a smaller fraction.
        groups: number of groups into which the queries are divided, each with its own pool of passages, if the corpus
            is sampled and each group has at least 50 queries. If the answer for a fraction is clear after the first
            group, its other groups are not measured (see `ablation.looks`). 1 measures all queries at once.
        measures: ir-measures names, the first is the headline measure.
        held_out: measure only queries that were not used for the attribution. If None, do so if at least 50 such
            queries are left.
        passages: the largest number of passages that are sampled from a larger corpus and searched (see
            `ablation.pools`), because every set of neurons costs an encoding of all of them. 0 searches the whole
            corpus.
        seed: seed of the random sets and of the sample.
        precision: precision of the forward passes with neurons fixed, a name in `encoders.precision.PRECISION_NAMES`.
            Its effect on the loss by fixing the top neurons is measured first. If this is too large, nothing is
            ablated.
        batch_tokens: number of padded tokens in one forward pass. None chooses a number that suits the device.
        intervals: bootstrap intervals over queries.
    """

    fractions: tuple[Annotated[float, Range(1e-9, 1)], ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    by: str = "share"
    parts: Annotated[tuple[str, ...], Distinct()] | None = None
    fixed_at: str = "mean"
    tower: str | None = None
    draws: Annotated[int, Range(1, 10_000, why="p cannot fall below 1 / (draws + 1)")] = 5
    groups: Annotated[int, Range(1, 1000)] = 3
    measures: tuple[str, ...] = ("RR@10", "nDCG@10")
    held_out: bool | None = None
    passages: AnyNumber = 250
    seed: Seed = 0
    precision: str = EXACT
    batch_tokens: OneOrMore | None = None
    intervals: IntervalSettings = field(default_factory=IntervalSettings)

    def __post_init__(self) -> None:
        check_ranges(self)
        area_weights(np.array(self.fractions))
        for kind, word, known in (
            ("ranking", self.by, BY),
            ("value to fix a neuron at", self.fixed_at, VALUES),
            ("tower", self.tower or "both", TOWERS),
        ):
            if word not in known:
                raise unknown_name(kind, word, known)
        check_precision(self.precision)
        if self.passages == 1:
            raise SettingsError(
                "neurons.ablation.passages is 1, which is too few to search",
                fix="give at least 2, or 0 to search the whole corpus",
            )
        if not self.measures or len({*self.measures}) < len(self.measures):
            raise SettingsError(
                f"neurons.ablation.measures is {self.measures}, which is empty or repeats a measure",
                fix="give at least one measure, and each measure once, e.g. RR@10",
            )
        check_distinct_measures(self.measures)

    @property
    def ablations(self) -> int:
        """Return the largest number of neuron sets to fix: for each fraction, four sets and the random draws."""
        return len(self.fractions) * (4 + self.draws)

    @property
    def beside(self) -> str:
        """Return the quantity by which neurons are ranked a second time, e.g. "signed".

        The report shows the curve of this ranking together with that of `by`.
        """
        return BESIDE[self.by]


@dataclass(frozen=True, kw_only=True)
class NeuronsSettings:
    """Settings of the analysis of neurons: their attribution, and the ablation that tests the attribution.

    Attributes:
        attribution: how neurons are attributed.
        ablation: which neurons are ablated, and how. None leaves the ablation out.
    """

    attribution: AttributionSettings = field(default_factory=AttributionSettings)
    ablation: NeuronAblationSettings | None = field(default_factory=NeuronAblationSettings)
