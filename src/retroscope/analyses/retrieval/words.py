"""Retrieval in words."""

from retroscope.analyses.retrieval.result import RetrievalEffect, RetrievalResult
from retroscope.statistics import Difference
from retroscope.typesetting.frames import alpha, rows
from retroscope.typesetting.numbers import count, score
from retroscope.typesetting.statements import CAUTION, CHANGED, Statement
from retroscope.typesetting.subject import AFTER, BEFORE, Subject
from retroscope.typesetting.words import effect_tests, effect_words, queries

TOPIC = "retrieval"
OF_THIS = " The interval and p are of this training alone, over queries; see those over trainings below."


def statements(result: RetrievalResult, subject: Subject) -> tuple[Statement, ...]:
    """Return the headline, what changed by the other measures, and what the other collections say."""
    others = [s for one in result.by_collection[1:] for s in on_other(one, result.headline)]
    return (headline(result, subject), *other_measures(result.effect, result.headline), *others)


def headline(result: RetrievalResult, subject: Subject) -> Statement:
    """Return whether retrieval changed, by the headline measure."""
    table = rows(result.effect, measure=result.headline)
    if table.empty:
        text = f"{result.headline} was not measured on both sides: nothing is known about retrieval."
        return Statement(TOPIC, CAUTION, text, headline=True)
    row = table.iloc[0]
    text, tone = effect_words(result.effect, row, result.headline)
    tally = f"{row['wins']:,.0f} gained, {row['ties']:,.0f} tied, {row['losses']:,.0f} lost"
    alone = OF_THIS if subject.trainings > 1 else ""
    text = f"{text} Of {queries(result.effect, int(row['n']))}, {tally}.{alone}"
    return Statement(TOPIC, tone, text, headline=True)


def other_measures(effect: Difference, first: str) -> tuple[Statement, ...]:
    """Return every measure but the first with a significant change, corrected among themselves."""
    table = rows(effect)
    others = table[table["measure"] != first]
    changed = others[others["p_corrected"] < alpha(effect)]
    if changed.empty:
        return ()
    parts = [
        f"{row['measure']} from {score(row[BEFORE])} to {score(row[AFTER])} ({effect_tests(effect, row)}; "
        f"{row['wins']:,.0f} gained, {row['losses']:,.0f} lost)"
        for _, row in changed.iterrows()
    ]
    text = f"Of {count(len(others), 'other measure')}, {len(changed)} changed: {'; '.join(parts)}."
    return (Statement(TOPIC, CHANGED, text),)


def on_other(on_collection: RetrievalEffect, measure: str) -> tuple[Statement, ...]:
    """Return whether retrieval changed on another collection, by the headline measure."""
    table = rows(on_collection.effect, measure=measure)
    if table.empty:
        return ()
    text, tone = effect_words(on_collection.effect, table.iloc[0], measure)
    return (Statement(TOPIC, tone, f"On {on_collection.collection}: {text}"),)
