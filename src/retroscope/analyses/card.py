"""Cards and curves for the first screen of a report, by which an analysis answers a question in a few words."""

from dataclasses import dataclass

import pandas as pd

from retroscope.typesetting.statements import Estimate, State, Statement


@dataclass(frozen=True)
class Card:
    """One card on the first screen of the report: a question, a short answer, and the main number.

    Attributes:
        question: a member of `questions.Question`, or another question that the analysis defines.
        answer: a few words. All cards of a study and its sentence together have at most 120 words.
        statement: the conclusion that the card shortens. The card takes its state (e.g. significant) and its section.
        number: the number that the card prints. If None, the number of the statement.
        sentence: the answer of the whole study in one sentence, with non-breaking spaces (`number_format.TIE`), if this
            analysis can give it.
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
        """Return the number that the card prints, or None if it prints none."""
        return self.number or self.statement.estimate


@dataclass(frozen=True, eq=False)
class LayerCurves:
    """One panel of the figure on the first screen: a value by layer, before and after fine-tuning.

    Attributes:
        title: what the value is, e.g. "nDCG@10 by layer".
        frame: columns layer, side, value, low, high.
        chance: the value that a random choice would reach, or None if the value has no chance level.
    """

    title: str
    frame: pd.DataFrame
    chance: float | None = None
