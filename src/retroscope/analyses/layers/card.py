"""Answer on the first screen of the report: at which layer did retrieval change most?

The first screen also shows curves of retrieval by layer.
"""

from collections.abc import Sequence

from retroscope.analyses.card import Card, LayerCurves
from retroscope.analyses.layers.result import LayerEffects
from retroscope.analyses.questions import Question
from retroscope.typesetting.effect_words import best, estimate_of, layer
from retroscope.typesetting.frames import alpha, by_side, rows
from retroscope.typesetting.statements import Statement
from retroscope.typesetting.subject import Subject


def cards(effects: LayerEffects, statements: Sequence[Statement], subject: Subject) -> tuple[Card, ...]:
    """Return the short answer (card) that names the layer at which retrieval changed most."""
    measure = subject.measures[0]
    table = rows(effects.effect, measure=measure)
    if table.empty or not statements:
        return ()
    changed = table[table["p_corrected"] < alpha(effects.effect)]
    if changed.empty:
        return (Card(Question.WHERE, "No layer changed significantly", statements[0]),)
    most = best(changed.assign(size=changed["effect"].abs()), "size")
    number = estimate_of(most, measure)
    return (Card(Question.WHERE, f"Most at {layer(subject, most)} of {len(table) - 1}", statements[0], number),)


def layer_curves(effects: LayerEffects, subject: Subject) -> LayerCurves | None:
    """Return the curves of the headline retrieval measure by layer, before and after, or None if not measured."""
    measure = subject.measures[0]
    table = rows(effects.effect, measure=measure)
    return None if table.empty else LayerCurves(f"{measure} by layer", by_side(table, ["layer"]))
