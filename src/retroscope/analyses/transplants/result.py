"""Retrieval with hybrids of two models, as a report wants it. Nothing here computes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from retroscope.statistics import Difference

REWIND, GRAFT = "rewind", "graft"
COLUMNS = {"before": "intact", "after": "score", "after_low": "low", "after_high": "high"}
TOLD = ("direction", "transplant", "kind", "number", "measure", "intact", "score", "low", "high", "effect", "ci_low",
        "ci_high", "p", "p_corrected", "n", "share", "share_low", "share_high")  # fmt: skip
SHARE_COLUMNS = ("direction", "transplant", "measure", "share", "share_low", "share_high")
SUM = "sum of blocks"  # the single effects of all blocks, added up
CONTROL_COLUMNS = ("direction", "transplant", "measure", "effect", "random", "random_lowest", "random_highest", "draws",
                   "extra", "extra_low", "extra_high", "p_queries", "p_draws", "p_corrected",
                   "beats")  # fmt: skip
SHAPLEY_COLUMNS = ("group", "effect", "ci_low", "ci_high", "p_corrected", "alone", "share", "share_low",
                   "share_high")  # fmt: skip
PAIR_COLUMNS = ("pair", "effect", "ci_low", "ci_high", "p_corrected")


@dataclass(frozen=True, eq=False)
class Interactions:
    """What groups of blocks do together, by the headline measure.

    Attributes:
        shapley: a row a group, columns `SHAPLEY_COLUMNS`: its Shapley value, which add up to the whole effect, and its
            effect `alone`.
        pairs: a row a pair, columns `PAIR_COLUMNS`: what both do beyond what each does alone.
    """

    shapley: pd.DataFrame
    pairs: pd.DataFrame


def _frame(columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(columns=list(columns))


@dataclass(frozen=True, eq=False)
class TransplantFindings:
    """Retrieval with hybrids of a backbone and its retriever.

    Attributes:
        n_blocks: of both.
        differences: "rewind", "graft" -> every hybrid against its intact receiver, over (transplant, measure).
        measures: the first is the headline.
        shares: of every transplant in the effect of all weights, with Fieller's interval, columns `SHARE_COLUMNS`; none
            where that whole effect is not significant. `SUM`: all blocks alone, added up.
        controls: places alone whose effect is significant, against random changes of equal size, columns
            `CONTROL_COLUMNS`; empty where no control was run.
        interactions: direction -> of a few groups, where they were asked for.
        caveats: what a reader must know before any number.
        sample: where a sample was searched, a row a model and measure: its mean over the "sample" and over the "whole"
            corpus, of the same queries.
    """

    before: str
    after: str
    collection: str
    n_blocks: int
    differences: Mapping[str, Difference]
    measures: tuple[str, ...]
    shares: pd.DataFrame = field(default_factory=lambda: _frame(SHARE_COLUMNS))
    controls: pd.DataFrame = field(default_factory=lambda: _frame(CONTROL_COLUMNS))
    interactions: Mapping[str, Interactions] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()
    sample: tuple[Mapping[str, Any], ...] = ()
    command: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Of the report."""
        return f"Weights of {self.before} and {self.after}, transplanted, on {self.collection}"

    def table(self) -> pd.DataFrame:
        """A row a direction, transplant and measure, columns `TOLD`: the intact score, the hybrid's, the effect.

        The number is that of the transplant's name; of a group of blocks alone, its last.
        """
        frames = []
        for direction, difference in self.differences.items():
            frame = difference.table.to_dataframe().reset_index().rename(columns=COLUMNS)
            split = frame["transplant"].astype(str).str.partition(":")
            last = split[2].where(split[0] != "block", split[2].str.rpartition("-")[2])
            place = {"direction": direction, "kind": split[0], "number": pd.to_numeric(last, errors="coerce")}
            frames.append(frame.assign(**place))
        found = pd.concat(frames, ignore_index=True)
        return found.merge(self.shares, "left", ["direction", "transplant", "measure"])[list(TOLD)]

    def control(self, direction: str, transplant: str) -> "pd.Series[Any] | None":
        """The row of a place against random changes of equal size, by the headline measure; None where not tried."""
        return self._row(self.controls, direction, transplant)

    def beats_random(self, direction: str, transplant: str) -> bool | None:
        """Whether a place does more than random changes of equal size; None where that was not tried."""
        row = self.control(direction, transplant)
        return None if row is None else bool(row["beats"])

    def share(self, direction: str, transplant: str) -> dict[str, float]:
        """A place's share of the whole effect with its interval; NaN where the whole effect is not significant."""
        row = self._row(self.shares, direction, transplant)
        names = ("share", "share_low", "share_high")
        return {name: float("nan") if row is None else float(row[name]) for name in names}

    def _row(self, frame: pd.DataFrame, direction: str, transplant: str) -> "pd.Series[Any] | None":
        found = frame[
            (frame["direction"] == direction)
            & (frame["transplant"] == transplant)
            & (frame["measure"] == self.measures[0])
        ]
        return None if found.empty else found.iloc[0]

    def headline(self, direction: str, kind: str | None = None) -> pd.DataFrame:
        """The rows of one direction by the headline measure, of one kind if asked."""
        found = self.table()
        found = found[(found["direction"] == direction) & (found["measure"] == self.measures[0])]
        return found if kind is None else found[found["kind"] == kind]
