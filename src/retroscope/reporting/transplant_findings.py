"""Retrieval with hybrids of two models, as a report wants it. Nothing here computes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from retroscope.statistics import Difference

REWIND, GRAFT = "rewind", "graft"
COLUMNS = {"before": "intact", "after": "score", "after_low": "low", "after_high": "high"}
TOLD = ("direction", "transplant", "kind", "number", "measure", "intact", "score", "low", "high", "effect", "ci_low",
        "ci_high", "p", "p_corrected", "n")  # fmt: skip


@dataclass(frozen=True, eq=False)
class TransplantFindings:
    """Retrieval with hybrids of a backbone and its retriever.

    Attributes:
        n_blocks: of both.
        differences: "rewind", "graft" -> every hybrid against its intact receiver, over (transplant, measure).
        measures: the first is the headline.
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
        return pd.concat(frames, ignore_index=True)[list(TOLD)]

    def headline(self, direction: str, kind: str | None = None) -> pd.DataFrame:
        """The rows of one direction by the headline measure, of one kind if asked."""
        found = self.table()
        found = found[(found["direction"] == direction) & (found["measure"] == self.measures[0])]
        return found if kind is None else found[found["kind"] == kind]
