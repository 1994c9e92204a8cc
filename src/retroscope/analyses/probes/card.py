"""Summary of the probes (card) for the first screen of the report.

It says how often the backbone's similarity picks the relevant passage, and has curves by layer.
"""

from collections.abc import Sequence

from retroscope.analyses.card import Card, LayerCurves
from retroscope.analyses.probes.result import ProbesResult
from retroscope.analyses.questions import Question
from retroscope.typesetting.effect_words import best, side_score
from retroscope.typesetting.frames import by_side
from retroscope.typesetting.statements import Statement
from retroscope.typesetting.subject import BEFORE


def cards(result: ProbesResult, statements: Sequence[Statement]) -> tuple[Card, ...]:
    """Return the summary of the probes (card): how often the backbone's similarity picks the relevant passage.

    The accuracy is that of the best layer. Without a statement on the best layers, there is no card.
    """
    peaks = [s for s in statements if s.code == "peaks"]
    if not peaks:
        return ()
    top = best(result.similarity_rows(), BEFORE)
    number = side_score(top, BEFORE, "accuracy")
    answer = f"Backbone similarity picks the relevant passage among {result.hardest}"
    return (Card(Question.ALREADY, answer, peaks[0], number),)


def probe_curves_by_layer(result: ProbesResult) -> LayerCurves | None:
    """Return the accuracy of the similarity probe by layer, before and after fine-tuning, as curves for the report.

    The first screen of the report shows them. If the similarity probe was not run, return None.
    """
    table = result.similarity_rows()
    if table.empty:
        return None
    title = f"Accuracy of picking the relevant passage among {result.hardest}, by layer"
    return LayerCurves(title, by_side(table, ["layer"]), 1 / result.hardest)
