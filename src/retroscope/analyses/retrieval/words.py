"""Statements about retrieval."""

from retroscope.analyses.retrieval.result import RetrievalEffect, RetrievalResult
from retroscope.number_format import count, score
from retroscope.statistics import Difference
from retroscope.typesetting.effect_words import effect_tests, effect_words, estimate_of, queries
from retroscope.typesetting.frames import alpha, rows
from retroscope.typesetting.statements import Estimate, State, Statement
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

TOPIC = "retrieval"
OF_THIS = " The interval and p describe this training run alone, over queries."


def statements(result: RetrievalResult, subject: Subject) -> tuple[Statement, ...]:
    """State how retrieval changed: by the headline measure, by other measures, and on other collections."""
    others = [s for on_collection in result.by_collection[1:] for s in on_other(on_collection, result.headline)]
    return (headline(result, subject), *other_measures(result.effect, result.headline), *others)


def estimates(result: RetrievalResult) -> tuple[Estimate, ...]:
    """Return the effect of fine-tuning on every measure for each collection, in the order of the collections."""
    return tuple(
        estimate_of(row, str(row["measure"]), on_collection.collection)
        for on_collection in result.by_collection
        for _, row in rows(on_collection.effect).iterrows()
    )


def headline(result: RetrievalResult, subject: Subject) -> Statement:
    """State whether fine-tuning changed the headline measure."""
    table = rows(result.effect, measure=result.headline)
    if table.empty:
        return Statement(TOPIC, State.NOT_RUN, unmeasured(result.headline), code="headline", headline=True)
    row = table.iloc[0]
    text, state = effect_words(result.effect, row, result.headline)
    tally = (
        f"{row['wins']:,.0f} score higher after fine-tuning, {row['ties']:,.0f} equal and {row['losses']:,.0f} lower"
    )
    alone = OF_THIS if subject.trainings > 1 else ""
    text = f"{text} Of {queries(result.effect, int(row['n']))}, {tally}.{alone}"
    number = estimate_of(row, result.headline)
    return Statement(TOPIC, state, text, code="headline", estimate=number, headline=True, figure="retrieval")


def unmeasured(measure: str) -> str:
    """Return the sentence which says that at least one of the two models has no value of a measure."""
    return f"{measure} is missing for at least one of the two models, so its change is unknown."


def other_measures(effect: Difference, first: str, collection: str = "") -> tuple[Statement, ...]:
    """State which measures other than `first` changed significantly. Return no statement if none did.

    Args:
        first: the headline measure.
        collection: a collection other than the first of the study.
    """
    table = rows(effect)
    others = table[table["measure"] != first]
    changed = others[others["p_corrected"] < alpha(effect)]
    if changed.empty:
        return ()
    parts = [
        f"{row['measure']} from {score(row[BEFORE])} to {score(row[AFTER])} ({effect_tests(effect, row)}; "
        f"{count(int(row['wins']), 'query')} higher, {row['losses']:,.0f} lower)"
        for _, row in changed.iterrows()
    ]
    opening = f"On {collection}, of" if collection else "Of"
    text = f"{opening} {count(len(others), 'other measure')}, {len(changed)} changed significantly: {'; '.join(parts)}."
    first_changed = changed.iloc[0]
    number = estimate_of(first_changed, str(first_changed["measure"]), collection)
    code, figure = ("other_collection_measures", "") if collection else ("other_measures", "retrieval")
    return (Statement(TOPIC, State.SIGNIFICANT, text, code=code, estimate=number, figure=figure),)


def on_other(on_collection: RetrievalEffect, measure: str) -> tuple[Statement, ...]:
    """State whether retrieval changed on a collection other than the first, by every measure.

    Args:
        measure: the headline measure, which has a statement of its own.
    """
    table = rows(on_collection.effect, measure=measure)
    if table.empty:
        return ()
    name = on_collection.collection
    text, state = effect_words(on_collection.effect, table.iloc[0], measure)
    number = estimate_of(table.iloc[0], measure, name)
    first = Statement(TOPIC, state, f"On {name}: {text}", code="other_collection", estimate=number)
    return (first, *other_measures(on_collection.effect, measure, name))
