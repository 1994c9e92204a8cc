"""Card of retrieval on the first screen of the report.

It answers: did retrieval change, and did it fall on other collections?
"""

from collections.abc import Sequence

from retroscope.analyses.card import Card
from retroscope.analyses.questions import Question
from retroscope.analyses.retrieval.result import RetrievalResult
from retroscope.analyses.retrieval.words import TOPIC, unmeasured
from retroscope.number_format import count, exact_percent, interval, score, signed, tied_p
from retroscope.statistics import Difference
from retroscope.typesetting.frames import margin, rows
from retroscope.typesetting.statements import Estimate, State, Statement
from retroscope.typesetting.subject import Subject

UNDECIDED = {
    State.NOT_SIGNIFICANT: "No significant change",
    State.TOO_FEW: "Too few queries to say",
    State.NOT_RUN: "Not measured",
}
ALSO = "--also SPEC"
# A mean of .05 is what a perfect ranking of every twentieth query would give. Below it there is no room to fall, so
# "no change" says nothing of what was lost. Only of measures that a perfect ranking brings to 1 for any query:
# P@10 of one relevant passage is .1 at most, and recall is cut off where there are many.
FLOOR = 0.05
TO_ONE = ("nDCG", "RR", "Success")


def cards(result: RetrievalResult, statements: Sequence[Statement], subject: Subject) -> tuple[Card, ...]:
    """Return two cards for the first screen: whether retrieval changed, and whether it fell on another collection."""
    (headline,) = [s for s in statements if s.headline]
    others = [s for s in statements if s.estimate is not None and s.estimate.collection]
    sentence = f"{_sentence(result, headline, subject)}{_close_to_zero(headline)}"
    changed = Card(Question.CHANGED, _changed(result.effect, headline), headline, sentence=sentence)
    return changed, _cost(result.effect, others)


def _sentence(result: RetrievalResult, headline: Statement, subject: Subject) -> str:
    """Return one sentence on the effect of fine-tuning: its direction, size and significance."""
    number = headline.estimate
    if number is None:
        return unmeasured(result.headline)
    sides = f"{score(number.before)} to {score(number.after)}"
    level = exact_percent(subject.statistics.level)
    change = f"{signed(number.value)}, {level} interval {interval(number.low, number.high, effect=True)}"
    tests = f"{change}, {tied_p(number.p)}, {count(number.n, 'query')}"
    if headline.state is State.SIGNIFICANT:
        return f"Fine-tuning {'raised' if number.value > 0 else 'lowered'} {number.name} from {sides}: {tests}."
    if headline.state is State.EQUIVALENT:
        p = tied_p(rows(result.effect, measure=result.headline).iloc[0]["p_equivalence_corrected"])
        within = f"within {margin(result.effect):g} (equivalence test, {p})"
        return (
            f"After fine-tuning, {number.name} is equivalent {within}: {sides}, {change}, {count(number.n, 'query')}."
        )
    if headline.state is State.TOO_FEW:
        return f"Too few queries to say whether fine-tuning changed {number.name}: {sides}, {tests}."
    return f"Fine-tuning did not change {number.name} significantly: {sides}, {tests}."


def _close_to_zero(headline: Statement) -> str:
    """Return a sentence if both scores are close to zero, or "" if they are not, or if there are too few queries."""
    number = headline.estimate
    if number is None or headline.state is State.TOO_FEW or not number.name.startswith(TO_ONE):
        return ""
    return " Both values are close to zero." if max(number.before, number.after) <= FLOOR else ""


def _changed(effect: Difference, statement: Statement) -> str:
    """Say in a few words whether retrieval became better, worse or equivalent, or did not change significantly."""
    number = statement.estimate
    if statement.state in UNDECIDED or number is None:
        return UNDECIDED[statement.state]
    if statement.state is State.EQUIVALENT:
        return f"No: equivalent within {margin(effect):g}"
    row = rows(effect, measure=number.name).iloc[0]
    gained, lost = int(row["wins"]), int(row["losses"])
    if number.value > 0:
        return f"Yes, for the better ({count(gained, 'query')} better, {lost:,} worse)"
    return f"Yes, for the worse ({count(lost, 'query')} worse, {gained:,} better)"


def _cost(effect: Difference, others: Sequence[Statement]) -> Card:
    """Return the card about the collection, other than the first, on which retrieval fell most."""
    if not others:
        text = f"Retrieval was not measured on another collection: add {ALSO} to the command."
        statement = Statement(TOPIC, State.NOT_RUN, text, (), code="other_collection")
        return Card(Question.COST, f"Unknown: needs {ALSO}", statement)
    worst = min(others, key=_fall)
    number = worst.estimate
    if number is None:
        raise ValueError(f"the statement on another collection has no number: {worst.text}")
    of = f" (worst of {len(others)})" if len(others) > 1 else ""
    return Card(Question.COST, f"{_cost_words(effect, worst.state, number)}{of}", worst)


def _fall(statement: Statement) -> tuple[bool, float]:
    """Return a sort key that puts significant falls first, and then sorts by the change, from the lowest up."""
    change = 0.0 if statement.estimate is None else statement.estimate.value
    return not (statement.state is State.SIGNIFICANT and change < 0), change


def _cost_words(effect: Difference, state: State, number: Estimate) -> str:
    on = f"on {shortened(number.collection)}"
    if state is State.EQUIVALENT:
        return f"Nothing: equivalent within {margin(effect):g} {on}"
    if state is State.SIGNIFICANT:
        return f"{'Nothing: better' if number.value > 0 else 'Retrieval is worse'} {on}"
    return f"{UNDECIDED[state]} {on}"


def shortened(name: str, most: int = 24) -> str:
    """Shorten a name to one line of at most `most` characters."""
    flat = "_".join(name.split())
    return flat if len(flat) <= most else f"{flat[: most - 3]}..."
