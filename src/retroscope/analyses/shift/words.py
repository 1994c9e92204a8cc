"""Statements about domain shift."""

from retroscope.analyses.shift.result import CollectionShift, ShiftResult
from retroscope.drift.shift import ANOTHER, SAME, WORDS_THRESHOLD
from retroscope.number_format import interval, score, signed
from retroscope.typesetting.statements import Estimate, Kind, State, Statement
from retroscope.typesetting.subject import BEFORE

TOPIC, CONTROL = "domain shift", "a collection against itself"


def shift_statements(result: ShiftResult) -> tuple[Statement, ...]:
    """State for every other collection whether it is of another domain or language, then the outcome of the control."""
    others = [_decision(shift, number, result.reference) for number, shift in enumerate(result.others, start=1)]
    return (*others, *([] if result.control is None else [_control(result.control)]))


def _decision(one: CollectionShift, number: int, reference: str) -> Statement:
    """State whether a collection is of another domain than the first, and how far their embeddings are apart."""
    words, embeddings = one.words, one.embeddings
    numbers = f"{score(words['shift'])} {interval(words['low'], words['high'])}"
    verdict, where = {
        ANOTHER: (f"{one.collection} is of another domain or language than {reference}", "above"),
        SAME: (f"{one.collection} is of the domain and language of {reference}", "below"),
    }.get(one.outcome, (f"Whether {one.collection} is of another domain than {reference} is not decided", "around"))
    text = (
        f"{verdict}: the divergence of their passages' words is {numbers}, {where} the threshold of "
        f"{WORDS_THRESHOLD:g}. The divergence is 0 for two halves of one collection, and 1 for collections without a "
        f"common word. The squared MMD between their embeddings before fine-tuning is {signed(embeddings['shift'])} "
        f"{interval(embeddings['low'], embeddings['high'], effect=True)}."
    )
    estimate = Estimate(
        "divergence of words", words["shift"], words["low"], words["high"], kind=Kind.SCORE, collection=one.collection
    )
    return Statement(TOPIC, State.MEASURED, text, (BEFORE,), f"collection_{number}", estimate)


def _control(one: CollectionShift) -> Statement:
    """State whether the control finds no shift between two samples of passages of the same collection."""
    words = one.words
    numbers = f"{score(words['shift'])} {interval(words['low'], words['high'])}"
    failed = one.outcome == ANOTHER
    opening = "CONTROL FAILED: between" if failed else "Between"
    text = f"{opening} two samples of passages of {one.collection}, the divergence of words is {numbers} (expected: 0)."
    return Statement(TOPIC, State.FAILED if failed else State.MEASURED, text, (), "control", control=CONTROL)
