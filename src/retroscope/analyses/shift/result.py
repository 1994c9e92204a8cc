"""Result of the analysis of domain shift."""

from dataclasses import dataclass

import pandas as pd

from retroscope.drift.shift import EMBEDDINGS, SHIFT_COLUMNS, WORDS, outcome
from retroscope.errors import demand_columns
from retroscope.statistics import Difference


@dataclass(frozen=True, eq=False)
class CollectionShift:
    """Domain shift of one collection from the reference collection, and the effect of fine-tuning on its retrieval.

    Attributes:
        collection: name of the collection.
        numbers: one row for each statistic, with the columns `SHIFT_COLUMNS`.
        passages: how many passages of each of the two collections are compared.
        retrieval: the effect of fine-tuning on retrieval from this collection, or None if retrieval was not measured.
    """

    collection: str
    numbers: pd.DataFrame
    passages: int
    retrieval: Difference | None = None

    def __post_init__(self) -> None:
        demand_columns("numbers", self.numbers, SHIFT_COLUMNS, where="CollectionShift")

    def number(self, statistic: str) -> "pd.Series[float] | None":
        """Return the row of `numbers` for a statistic, or None if the statistic was not measured."""
        rows = self.numbers[self.numbers["statistic"] == statistic]
        return None if rows.empty else rows.iloc[0]

    @property
    def words(self) -> "pd.Series[float]":
        """Return the row of `numbers` with the divergence of words."""
        return self.numbers.set_index("statistic").loc[WORDS]

    @property
    def embeddings(self) -> "pd.Series[float]":
        """Return the row of `numbers` with the distance between embeddings."""
        return self.numbers.set_index("statistic").loc[EMBEDDINGS]

    @property
    def outcome(self) -> str:
        """Return "another" (domain or language), "same" or "undecided", by the divergence of words."""
        return outcome(self.words["low"], self.words["high"])


@dataclass(frozen=True, eq=False)
class ShiftResult:
    """Domain shift of every other collection from the study's first, and a control: the first against itself.

    Attributes:
        reference: name of the collection that the others are compared with: the study's first.
        control: the shift between two samples of the reference, which should be 0, or None if it has too few passages.
        others: shifts of the other collections, in the order of the study.
        level: confidence level of the intervals.
    """

    reference: str
    control: CollectionShift | None
    others: tuple[CollectionShift, ...]
    level: float
