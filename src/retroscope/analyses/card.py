"""Cards on the first screen of a report: an analysis's short answer to a question, and curves for the figure."""

from dataclasses import dataclass

import pandas as pd

from retroscope.typesetting.statements import Estimate, State, Statement


@dataclass(frozen=True)
class Card:
    """One card on the first screen of the report: a question, a short answer, and the main number.

    Attributes:
        question: one of `questions.Question`, or one of the analysis's own.
        answer: a few words. A study has room for 120 words in all.
        statement: the conclusion that the card shortens: its state and section are the card's.
        number: the one number of the card. If None, that of the statement.
        sentence: the answer of the whole study in one sentence, with ties, if this analysis can give it.
    """

    question: str
    answer: str
    statement: Statement
    number: Estimate | None = None
    sentence: str = ""

    @property
    def state(self) -> State:
        """Return the state of the statement that the card shortens, e.g. significant or not run."""
        return self.statement.state

    @property
    def estimate(self) -> Estimate | None:
        """Return the number that the card prints."""
        return self.number or self.statement.estimate


@dataclass(frozen=True, eq=False)
class LayerCurves:
    """One panel of the figure on the first screen: a value by layer, before and after fine-tuning.

    Attributes:
        title: what the value is, e.g. "nDCG@10 by layer".
        frame: columns layer, side, value, low, high.
        chance: value of a random choice, or None where there is none.
    """

    title: str
    frame: pd.DataFrame
    chance: float | None = None
