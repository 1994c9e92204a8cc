"""The answer of a study: one sentence and a short answer (card) to each question, in at most 120 words.

Each analysis provides its card. The card of a question that no analysis answers says "not run". Page, terminal,
notebook and `summary.json` show the same `Answer`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from retroscope.analyses import analyses
from retroscope.analyses.card import Card
from retroscope.analyses.questions import Question
from retroscope.analyses.section import Section
from retroscope.number_format import without_ties
from retroscope.study.reporting.controls import METHOD, Controls, trust
from retroscope.study.reporting.missing import Missing, lacking
from retroscope.typesetting.statements import State, Statement, with_self_tests
from retroscope.typesetting.subject import Subject

MOST_WORDS = 120
# How many controls and how many missing measurements the cards name. The pairs are tried in this order until the answer
# has at most MOST_WORDS words. If it never has, cards of questions that are not in `Question` are left out.
NAMED = ((4, 4), (4, 3), (4, 2), (4, 1), (3, 1), (2, 1), (1, 1), (0, 1))
WORD = re.compile(r"\S*\w\S*")


@dataclass(frozen=True)
class Answer:
    """Summary of a study: one sentence, and a short answer (card) to each question of the first screen.

    Attributes:
        tied: sentence with the effect of fine-tuning, its interval and p, with no-break spaces (`number_format.TIE`).
        cards: one card for each question, in reading order.
        missing: measurements that the study lacks, each with the option that adds it.
        command: command that made the study.
    """

    tied: str
    cards: tuple[Card, ...]
    missing: tuple[Missing, ...] = ()
    command: str = ""

    @property
    def sentence(self) -> str:
        """Return the sentence with ordinary spaces in place of no-break spaces."""
        return without_ties(self.tied)

    @property
    def state(self) -> State:
        """Return the state, e.g. significant, of the effect that the sentence reports."""
        return self.cards[0].state

    @property
    def words(self) -> int:
        """Count the words of the sentence and of all cards, including the states and numbers on the cards."""
        printed = [self.sentence, *(["list"] if len(self.missing) > 1 else [])]
        for card in self.cards:
            printed += [card.question, card.answer, str(card.estimate or ""), str(card.state)]
        return len(WORD.findall(" ".join(printed)))

    def missing_lines(self) -> list[str]:
        """Return a line for each missing measurement, with the option that adds it, and the reason if it is known."""
        return [": ".join(filter(None, (str(lacking), lacking.reason))) for lacking in self.missing]

    def document(self) -> dict[str, Any]:
        """Return the answer as JSON-like values, for `summary.json`."""
        return {
            "sentence": self.sentence,
            "state": str(self.state),
            "cards": [_card_document(card) for card in self.cards],
            "not_measured": [asdict(lacking) for lacking in self.missing],
            "command": self.command,
        }


def _card_document(card: Card) -> dict[str, Any]:
    shown = card.statement if card.number is None else replace(card.statement, estimate=card.number)
    numbers = {
        key: value for key, value in shown.document().items() if key not in ("text", "topic", "figure", "control")
    }
    return {"question": str(card.question), "answer": card.answer, **numbers}


def answer_of(
    sections: Mapping[str, Section], subject: Subject, controls: Controls, alarms: Sequence[Statement],
    absent: Sequence[Missing],
) -> Answer | None:  # fmt: skip
    """Summarise the sections of a report, or return None if no section states the effect of fine-tuning.

    Args:
        controls: outcomes of all controls.
        alarms: statements about failed controls, self-tests and checks.
        absent: measurements that the study lacks.
    """
    cards = first_cards(sections)
    sentence = next((card.sentence for card in cards if card.sentence), "")
    if not sentence:
        return None
    doubts = [doubt for card in cards[:1] for doubt in card.statement.doubts]
    if doubts:
        sentence += " Do not rely on it: a self-test failed."
    asked, own = _standard(cards, subject), [card for card in cards if card.question not in set(Question)]
    for of_own, (of_controls, of_missing) in [*((own, named) for named in NAMED), ((), NAMED[-1])]:
        last = (trust(controls, alarms, of_controls), lacking(absent, of_missing))
        answer = Answer(sentence, (*asked, *of_own, *last), tuple(absent), subject.command)
        if answer.words <= MOST_WORDS:
            break
    return answer


def marked(card: Card, subject: Subject) -> Card:
    """Mark the answer to one question (card) as doubtful if it rests on a model that failed a self-test."""
    return replace(card, statement=with_self_tests(card.statement, subject))


def first_cards(sections: Mapping[str, Section]) -> list[Card]:
    """Return the first card of every question of the first screen, with the name of its report section added."""
    first: dict[str, Card] = {}
    for name, section in sections.items():
        for card in section.cards:
            first.setdefault(card.question, replace(card, statement=replace(card.statement, section=name)))
    return list(first.values())


def _standard(cards: Sequence[Card], subject: Subject) -> list[Card]:
    """Return a card for every question that some analysis can answer. Unanswered ones have the state "not run"."""
    answered = {card.question: card for card in cards}
    able: dict[str, list[str]] = {}
    for name, analysis in analyses().items():
        for question in analysis.answers:
            able.setdefault(question, []).append(name)
    return [
        answered[question] if question in answered else _not_run(question, able[question], subject)
        for question in Question
        if question in able
    ]


def _not_run(question: str, able: Sequence[str], subject: Subject) -> Card:
    """Return the answer card of an unanswered question. `able` names the analyses that could answer it."""
    waiting = [step.analysis for step in subject.not_yet_run if step.analysis in able]
    text = f"Not run: {', '.join(waiting or able)}{'; repeat the command' if waiting else ''}."
    statement = Statement(able[0], State.NOT_RUN, text, (), code="not_run", section=waiting[0] if waiting else METHOD)
    return Card(question, "Not yet known: the run is not finished" if waiting else "Unknown: left out", statement)
