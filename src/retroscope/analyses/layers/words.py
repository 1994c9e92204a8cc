"""Statements about retrieval by layer."""

from retroscope.analyses.layers.result import LayerEffects
from retroscope.number_format import count, score
from retroscope.statistics import Difference
from retroscope.typesetting.effect_words import best, layer, limits, side_score
from retroscope.typesetting.frames import alpha, rows
from retroscope.typesetting.statements import State, Statement
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

WITHOUT = "without the final norm"


def best_layers(effects: LayerEffects, subject: Subject) -> tuple[Statement, ...]:
    """State which layer retrieves best before and after fine-tuning, by the headline measure."""
    table = rows(effects.effect, measure=subject.measures[0])
    if table.empty:
        return ()
    tops = _tops(effects.effect, subject)
    changed = table[table["p_corrected"] < alpha(effects.effect)]
    gains = int((changed["effect"] > 0).sum())
    norm = "" if effects.bare is None else " (the final norm is applied to each layer)"
    on = "" if effects.collection == subject.collection.name else f"On {effects.collection}: "
    text = (
        f"{on}A search with the vectors of one layer{norm} reaches the highest {subject.measures[0]} at {tops[0]} and "
        f"at {tops[1]}. With fine-tuning, {subject.measures[0]} rises significantly at {gains} of "
        f"{count(len(table), 'layer')} and falls significantly at {len(changed) - gains}."
    )
    if effects.bare is not None and (bare := _tops(effects.bare, subject)):
        text += (
            f" If the lower layers are searched as the model itself computes them, {WITHOUT}, the highest "
            f"{subject.measures[0]} is at {bare[0]} and at {bare[1]}."
        )
    top = best(table, AFTER)
    number = side_score(top, AFTER, f"{subject.measures[0]}, {layer(subject, top)}")
    return (Statement("layers", State.MEASURED, text, code="best", estimate=number, figure="layer_retrieval"),)


def _tops(difference: Difference, subject: Subject) -> list[str]:
    """Return words for the best layer of each model with its score, or no words if the measure was not computed."""
    table = rows(difference, measure=subject.measures[0])
    if table.empty:
        return []
    tops = {side: best(table, side) for side in (BEFORE, AFTER)}
    return [
        f"{layer(subject, row)} {side} fine-tuning ({score(row[side])} {limits(row, side)})"
        for side, row in tops.items()
    ]
