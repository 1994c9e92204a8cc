"""Statements about the projection of vectors onto the vocabulary."""

from collections.abc import Iterator

from retroscope.analyses.vocabulary.result import DIFFERENCE, OVERLAP, SHUFFLED, RankCorrelation, VocabularyResult
from retroscope.number_format import interval, p_number, percent, signed, tied_p
from retroscope.typesetting.effect_words import effect_tests, estimate_of
from retroscope.typesetting.frames import rows
from retroscope.typesetting.statements import Estimate, Kind, State, Statement, state_of
from retroscope.typesetting.subject import AFTER, MODEL, Subject

SAYS = {
    "query words": "of the words that a query's vector decodes to occur in the query",
    "passage words": "of the words that a passage's vector decodes to occur in the passage",
    OVERLAP: "of the words that a query's vector decodes to are also decoded from its relevant passage's vector",
}


def vocabulary_statements(result: VocabularyResult, subject: Subject) -> tuple[Statement, ...]:
    """State the shares of decoded words at the last layer, their overlap, and its correlation with retrieval."""
    return (*_changed(result, subject), *_beyond(result, subject), *_gain(result, subject), *_associated(result))


def _changed(result: VocabularyResult, subject: Subject) -> Iterator[Statement]:
    """State how fine-tuning changed each share of decoded words at the last layer."""
    if result.effect is None:
        return
    layer = subject.layer_label(result.last)
    for quantity, words in SAYS.items():
        row = rows(result.effect, layer=result.last, quantity=quantity).iloc[0]
        text = (
            f"At layer {layer} before fine-tuning, {percent(row['before'])} {words}. After fine-tuning, this share is "
            f"{percent(row['after'])}. The difference of these shares is {effect_tests(result.effect, row)}."
        )
        number = estimate_of(row, f"share, {quantity}", result.collection)
        yield Statement("vocabulary", state_of(result.effect, row), text, code=quantity.replace(" ", "_"),
                        estimate=number, figure="vocabulary")  # fmt: skip


def _beyond(result: VocabularyResult, subject: Subject) -> Iterator[Statement]:
    """State whether the vectors of a query and its relevant passage share more words than those of shuffled pairs."""
    side = AFTER if AFTER in result.beyond else MODEL
    difference = result.beyond[side]
    row = rows(difference, layer=result.last).iloc[0]
    text = (
        f"At layer {subject.layer_label(result.last)}, the vectors of a query and its relevant passage share "
        f"{percent(row['after'])} of the words that the query's vector decodes to. With another query's passage, the "
        f"share is {percent(row['before'])}. The difference is {effect_tests(difference, row)}."
    )
    number = estimate_of(row, "overlap beyond that of shuffled pairs", result.collection)
    yield Statement("vocabulary", state_of(difference, row), text, (side,), code="beyond_shuffled", estimate=number,
                    control="shuffled pairs", figure="vocabulary")  # fmt: skip


def _gain(result: VocabularyResult, subject: Subject) -> Iterator[Statement]:
    """State whether fine-tuning raised the word overlap of relevant pairs more than that of shuffled pairs."""
    if result.gain is None:
        return
    row = rows(result.gain, layer=result.last).iloc[0]
    text = (
        f"At layer {subject.layer_label(result.last)}, the words of relevant pairs overlap more than those of "
        f"shuffled pairs, by {signed(row['before'])} before fine-tuning and {signed(row['after'])} after. The change "
        f"is {effect_tests(result.gain, row)}."
    )
    number = estimate_of(row, "change of the word overlap beyond that of shuffled pairs", result.collection)
    yield Statement("vocabulary", state_of(result.gain, row), text, code="gain", estimate=number,
                    control="shuffled pairs", figure="vocabulary")  # fmt: skip


def _associated(result: VocabularyResult) -> Iterator[Statement]:
    """State whether the change of word overlap correlates with that of retrieval, more than for shuffled pairs."""
    if not result.associated:
        return
    correlations = {correlation.pairs: correlation for correlation in result.associated}
    real, control, difference = (correlations[name] for name in (OVERLAP, SHUFFLED, DIFFERENCE))
    apart = difference.low > 0 or difference.high < 0
    significant = real.p < 1 - _level(result) and apart
    verb = "is associated" if significant else "is not significantly associated"
    text = (
        f"The change of the word overlap {verb} with the change of {result.measure} of a query: the rank correlation "
        f"is {_rho(real)}, {tied_p(real.p)}. With shuffled pairs, it is {_rho(control)}; the difference is "
        f"{_rho(difference)}."
    )
    state = State.SIGNIFICANT if significant else State.NOT_SIGNIFICANT
    number = Estimate("rank correlation", real.rho, real.low, real.high, p=real.p, n=real.n, kind=Kind.DIFFERENCE)
    yield Statement("vocabulary", state, text, code="associated", estimate=number, control="shuffled pairs")


def _rho(one: RankCorrelation) -> str:
    return f"{signed(one.rho)} {interval(one.low, one.high, effect=True)}"


def _level(result: VocabularyResult) -> float:
    return float(next(iter(result.beyond.values())).method["level"])


def associated_rows(result: VocabularyResult) -> list[list[str]]:
    """Return the rows of the table of correlations with the change of retrieval, as text."""
    return [
        [
            correlation.pairs,
            _rho(correlation),
            p_number(correlation.p),
            f"{correlation.n:,}",
        ]
        for correlation in result.associated
    ]
