"""The projection onto the vocabulary in words."""

from collections.abc import Iterator

from retroscope.analyses.vocabulary.result import OVERLAP, SHUFFLED, VocabularyResult
from retroscope.typesetting.frames import rows
from retroscope.typesetting.numbers import interval, p_value, percent, signed
from retroscope.typesetting.statements import Estimate, Kind, State, Statement
from retroscope.typesetting.subject import AFTER, MODEL, Subject
from retroscope.typesetting.words import effect_tests, estimate_of, state_of

SAYS = {
    "query words": "of the words that a query's vector says are the query's own",
    "passage words": "of the words that a passage's vector says are the passage's own",
    OVERLAP: "of the words that a query's vector says are said by its relevant passage's, too",
}


def vocabulary_statements(result: VocabularyResult, subject: Subject) -> tuple[Statement, ...]:
    """Return what the vectors of the last layer say, whether pairs say the same, and what that explains."""
    return (*_changed(result, subject), *_beyond(result, subject), *_explained(result))


def _changed(result: VocabularyResult, subject: Subject) -> Iterator[Statement]:
    """State the change of every share at the last layer."""
    if result.effect is None:
        return
    layer = subject.layer_label(result.last)
    for quantity, words in SAYS.items():
        row = rows(result.effect, layer=result.last, quantity=quantity).iloc[0]
        text = (
            f"At layer {layer}, {percent(row['before'])} {words} before fine-tuning and {percent(row['after'])} after: "
            f"{effect_tests(result.effect, row)}."
        )
        number = estimate_of(row, f"share, {quantity}", result.collection)
        yield Statement("vocabulary", state_of(result.effect, row), text, code=quantity.replace(" ", "_"),
                        estimate=number, figure="vocabulary")  # fmt: skip


def _beyond(result: VocabularyResult, subject: Subject) -> Iterator[Statement]:
    """State whether a query and its passage say the same more often than shuffled pairs do."""
    side = AFTER if AFTER in result.beyond else MODEL
    difference = result.beyond[side]
    row = rows(difference, layer=result.last).iloc[0]
    text = (
        f"At layer {subject.layer_label(result.last)}, a query's vector and its relevant passage's share "
        f"{percent(row['after'])} of {result.k} words, and with another query's passage {percent(row['before'])}: "
        f"{effect_tests(difference, row)}."
    )
    number = estimate_of(row, "overlap beyond shuffled pairs", result.collection)
    yield Statement("vocabulary", state_of(difference, row), text, (side,), code="beyond_shuffled", estimate=number,
                    control="shuffled pairs", figure="vocabulary")  # fmt: skip


def _explained(result: VocabularyResult) -> Iterator[Statement]:
    """State whether the overlap explains which queries flipped, beside shuffled pairs."""
    found = {one.pairs: one for one in result.explained}
    if set(found) != {OVERLAP, SHUFFLED}:
        return
    real, control = found[OVERLAP], found[SHUFFLED]
    alpha = 1 - _level(result)
    apart = real.low > control.high or real.high < control.low
    significant = real.p < alpha and apart
    said = "explains a part of which queries flipped" if significant else "does not explain which queries flipped"
    text = (
        f"The change of the overlap {said}: its rank correlation with the change of {result.measure} is "
        f"{signed(real.rho)} {interval(real.low, real.high, effect=True)}, {p_value(real.p)}; with shuffled pairs it "
        f"is {signed(control.rho)} {interval(control.low, control.high, effect=True)}, {p_value(control.p)}."
    )
    state = State.SIGNIFICANT if significant else State.NOT_SIGNIFICANT
    number = Estimate("rank correlation", real.rho, real.low, real.high, p=real.p, n=real.n, kind=Kind.DIFFERENCE)
    yield Statement("vocabulary", state, text, code="explained", estimate=number, control="shuffled pairs")


def _level(result: VocabularyResult) -> float:
    return float(next(iter(result.beyond.values())).method["level"])


def explained_rows(result: VocabularyResult) -> list[list[str]]:
    """Return the cells of the table of what the overlap explains."""
    return [
        [
            one.pairs,
            f"{signed(one.rho)} {interval(one.low, one.high, effect=True)}",
            p_value(one.p).removeprefix("p = ").removeprefix("p "),
            f"{one.n:,}",
        ]
        for one in result.explained
    ]
