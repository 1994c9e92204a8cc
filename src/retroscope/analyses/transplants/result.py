"""Result of weight transplants: retrieval with hybrids of two models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from retroscope.errors import demand_columns
from retroscope.inputs.sampled import SampleRow
from retroscope.scores import Scores
from retroscope.statistics import Difference
from retroscope.statistics.trainings import EFFECT_COLUMNS, CrossedMethod, crossed_method

COLUMNS = {"before": "intact", "after": "score", "after_low": "low", "after_high": "high"}
SHARE_COLUMNS = ("direction", "transplant", "measure", "share", "share_low", "share_high")
SUM = "sum of blocks"  # the single effects of all blocks, added up
CONTROL_COLUMNS = ("direction", "transplant", "measure", "effect", "random", "random_lowest", "random_highest", "draws",
                   "extra", "extra_low", "extra_high", "p_queries", "p_draws", "p_corrected",
                   "beats")  # fmt: skip
BLOCK_COLUMNS = ("direction", "group", "transplant", "measure", "intact", "score", "low", "high", "effect", "ci_low",
                 "ci_high", "p", "p_corrected", "n", "share", "share_low", "share_high")  # fmt: skip
SHAPLEY_COLUMNS = ("group", "effect", "ci_low", "ci_high", "p_corrected", "alone", "share", "share_low",
                   "share_high")  # fmt: skip
PAIR_COLUMNS = ("pair", "effect", "ci_low", "ci_high", "p_corrected")
HybridScores = Mapping[str, tuple[Scores, Scores]]  # direction -> the receiver intact, and its hybrids


@dataclass(frozen=True, eq=False)
class Interactions:
    """Shapley values and pair interactions of groups of transplanted weights, by the headline measure.

    Attributes:
        shapley: a row for each group, with the columns `SHAPLEY_COLUMNS`: its Shapley value (`effect`), and its effect
            if it is transplanted `alone`. The Shapley values add up to the effect of all weights.
        pairs: a row for each pair of groups, with the columns `PAIR_COLUMNS`: the effect of transplanting both, minus
            the sum of their effects alone.
    """

    shapley: pd.DataFrame
    pairs: pd.DataFrame


@dataclass(frozen=True, eq=False)
class SingleBlocks:
    """Effects of the single blocks of groups that were split because their transplant has a significant effect.

    Attributes:
        effects: a row for each direction, block and measure, with the columns `BLOCK_COLUMNS`. `p_corrected` is after
            Holm's correction over all blocks of all groups, including groups that were not split.
        controls: blocks with a significant effect, compared with random changes of equal size, with the columns
            `CONTROL_COLUMNS`, empty if no control was run.
    """

    effects: pd.DataFrame
    controls: pd.DataFrame

    def __post_init__(self) -> None:
        demand_columns("effects", self.effects, BLOCK_COLUMNS, where="SingleBlocks")


@dataclass(frozen=True, eq=False)
class OverTrainings:
    """Effects of single blocks or parts, and of all weights, over several training runs and their queries together.

    Attributes:
        names: names of the trainings, the retriever first.
        direction: "restored" or "grafted".
        places: a row for each transplant and measure, with `EFFECT_COLUMNS`: "before" is the intact receiver and
            "after" the hybrid, both as means over trainings.
        each: the means of every single training: training, transplant, measure, intact, score, effect.
        level: confidence level of the intervals.
    """

    names: tuple[str, ...]
    direction: str
    places: pd.DataFrame
    each: pd.DataFrame
    level: float

    def __post_init__(self) -> None:
        demand_columns("places", self.places, ("transplant", "measure", *EFFECT_COLUMNS), where="OverTrainings")

    @property
    def alpha(self) -> float:
        """Return the significance level of the tests: 1 minus the confidence level."""
        return round(1 - self.level, 12)

    @property
    def method(self) -> CrossedMethod:
        """Return how the intervals over trainings and queries are computed, as JSON-like values."""
        return crossed_method(self.level, len(self.names))


def _frame(columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(columns=list(columns))


@dataclass(frozen=True, eq=False)
class TransplantEffects:
    """Effects of all transplants between a backbone and its retriever on one collection, paired by query.

    Attributes:
        collection: name of the collection.
        n_blocks: number of blocks of each model.
        differences: direction ("restored", "grafted") -> effect of every transplant: hybrid minus intact receiver, over
            (transplant, measure).
        measures: ir-measures names, the headline measure first.
        shares: share of every transplant in the effect of all weights, with Fieller's interval, columns
            `SHARE_COLUMNS`, empty if the effect of all weights is not significant. The row `SUM` has the sum of all
            single blocks.
        controls: single blocks, groups and parts with a significant effect, compared with random changes of equal size,
            with the columns `CONTROL_COLUMNS`, empty if no control was run.
        interactions: direction -> interactions of a few groups of weights, empty if they were not requested.
        single_blocks: effects of the single blocks of groups with a significant effect, or None if no group was split.
        over_trainings: effects over several trainings, or None if there is only one.
        queries: number of measured queries.
        passages: number of searched passages.
        notes: what was measured, and caveats of the numbers.
        sample: if a sample was searched, a row for each model and measure: its mean on the "sample" and on the "whole"
            corpus, over the same queries.
    """

    collection: str
    n_blocks: int
    differences: Mapping[str, Difference]
    measures: tuple[str, ...]
    shares: pd.DataFrame = field(default_factory=lambda: _frame(SHARE_COLUMNS))
    controls: pd.DataFrame = field(default_factory=lambda: _frame(CONTROL_COLUMNS))
    interactions: Mapping[str, Interactions] = field(default_factory=dict)
    single_blocks: SingleBlocks | None = None
    over_trainings: OverTrainings | None = None
    queries: int = 0
    passages: int = 0
    notes: tuple[str, ...] = ()
    sample: tuple[SampleRow, ...] = ()

    def table(self) -> pd.DataFrame:
        """Return a table of all effects, with their tests and shares: a row for each direction, transplant and measure.

        The column "number" is the number in the transplant's name, or the last block of a group.
        """
        return self._table.copy()

    @cached_property
    def _table(self) -> pd.DataFrame:
        """Return the rows of `table`, computed only once, because many statements use them."""
        frames = []
        for direction, difference in self.differences.items():
            frame = difference.table.to_dataframe().reset_index().rename(columns=COLUMNS)
            split = frame["transplant"].astype(str).str.partition(":")
            last = split[2].where(split[0] != "block", split[2].str.rpartition("-")[2])
            place = {"direction": direction, "kind": split[0], "number": pd.to_numeric(last, errors="coerce")}
            frames.append(frame.assign(**place))
        table = pd.concat(frames, ignore_index=True)
        return table.merge(self.shares, "left", ["direction", "transplant", "measure"])

    def control(self, direction: str, transplant: str) -> "pd.Series[Any] | None":
        """Return the comparison of a block or part with random changes, or None if it was not compared.

        The comparison is by the headline measure.
        """
        return self._row(self.controls, direction, transplant)

    def beats_random(self, direction: str, transplant: str) -> bool | None:
        """Return whether a block or part has a significantly larger effect than random changes; None if not tested."""
        row = self.control(direction, transplant)
        return None if row is None else bool(row["beats"])

    def share(self, direction: str, transplant: str) -> dict[str, float]:
        """Return a transplant's share of the total effect, with its interval.

        All values are NaN if the total effect is not significant.
        """
        row = self._row(self.shares, direction, transplant)
        names = ("share", "share_low", "share_high")
        return {name: float("nan") if row is None else float(row[name]) for name in names}

    def _row(self, frame: pd.DataFrame, direction: str, transplant: str) -> "pd.Series[Any] | None":
        rows = frame[
            (frame["direction"] == direction)
            & (frame["transplant"] == transplant)
            & (frame["measure"] == self.measures[0])
        ]
        return None if rows.empty else rows.iloc[0]

    def headline(self, direction: str, kind: str | None = None) -> pd.DataFrame:
        """Return the rows of `table` for one direction and the headline measure.

        Args:
            kind: kind of transplant, e.g. "block". If None, return all kinds.
        """
        table = self.table()
        table = table[(table["direction"] == direction) & (table["measure"] == self.measures[0])]
        return table if kind is None else table[table["kind"] == kind]


@dataclass(frozen=True, eq=False)
class TransplantResult:
    """Effects of all transplants on every collection, the study's first collection first."""

    by_collection: tuple[TransplantEffects, ...]

    @property
    def first(self) -> TransplantEffects:
        """Return the effects on the study's first collection."""
        return self.by_collection[0]
