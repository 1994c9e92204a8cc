"""The verdict of a study: the statements of all sections in order of importance, and doubts about them.

Rules, each tested:
- a difference is significant only if its corrected p is below alpha, and two models are equivalent only if the
  equivalence test says so. Otherwise a difference is not significant or has too few queries, never "no difference";
- controls and self-tests that failed come first, and every conclusion that rests on them is marked;
- then come the statements that answer the questions of the first screen, then the others in reading order;
- statements that a control puts in doubt are not in the verdict. They are counted, and printed in their own section.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from retroscope.analyses import analyses
from retroscope.analyses.card import Card
from retroscope.analyses.section import Section
from retroscope.number_format import count
from retroscope.typesetting.statements import State, Statement, with_self_tests
from retroscope.typesetting.subject import Subject


@dataclass(frozen=True)
class Verdict:
    """The statements of a study: failed controls, the headline statement, and all others.

    Attributes:
        headline: statement on the headline measure of retrieval, or None if only one model was measured.
        alarms: statements about failed controls, self-tests and checks.
        statements: all other statements, first those behind the cards of the answer.
        unconfirmed: statements that a control puts in doubt.
    """

    headline: Statement | None
    alarms: tuple[Statement, ...]
    statements: tuple[Statement, ...]
    unconfirmed: tuple[Statement, ...] = ()

    def everything(self) -> tuple[Statement, ...]:
        """Return the statements about failed controls, then the headline statement, then all others."""
        return (*self.alarms, *([self.headline] if self.headline else []), *self.statements)


def verdict(sections: Mapping[str, Section], subject: Subject, cards: Sequence[Card] = ()) -> Verdict:
    """Sort the statements of all sections into alarms, headline and others.

    Statements about models with failed self-tests are marked.

    Args:
        cards: cards of the answer. The statements behind them come first.
    """
    first = {(card.statement.name, card.statement.text): place for place, card in enumerate(cards)}
    marked = [with_self_tests(s, subject) for s in _conclusions(sections)]
    marked = sorted(marked, key=lambda s: first.get((s.name, s.text), len(first)))  # stable: else in reading order
    unconfirmed = [s for name, section in sections.items() for s in placed(section.unconfirmed, name)]
    warnings = carried_warnings(sections)
    headlines = [s for s in marked if s.headline]
    calm = [s for s in marked if not s.failed and not s.headline]
    return Verdict(
        headline=headlines[0] if headlines else None,
        alarms=tuple(s for s in (*marked, *warnings) if s.failed),
        statements=(*calm, *_counted(sections), *(s for s in warnings if not s.failed)),
        unconfirmed=tuple(with_self_tests(s, subject) for s in unconfirmed),
    )


def placed(statements: Sequence[Statement], section: str) -> list[Statement]:
    """Return the statements with the name of their report section added."""
    return [replace(s, section=section) for s in statements]


def _conclusions(sections: Mapping[str, Section]) -> Iterator[Statement]:
    """Yield the statements in reading order. Details that the section of another analysis sums up are left out."""
    known = analyses()
    summed_up = {other for name in sections if name in known for other in known[name].sums_up}
    for name, section in sections.items():
        yield from placed(section.statements, name)
        if name not in summed_up:
            yield from placed(section.details, name)


def every_statement(sections: Mapping[str, Section]) -> Iterator[Statement]:
    """Yield every statement of every section, including details and unconfirmed ones."""
    for name, section in sections.items():
        yield from placed((*section.statements, *section.details, *section.unconfirmed), name)


def _counted(sections: Mapping[str, Section]) -> list[Statement]:
    """State for each section how many unconfirmed statements the verdict leaves out, why, and where to find them."""
    return [
        Statement(
            name,
            State.MEASURED,
            f"{count(len(section.unconfirmed), 'statement')} about {name} "
            f"{'is' if len(section.unconfirmed) == 1 else 'are'} left out here, because a check casts doubt on "
            f"{'it' if len(section.unconfirmed) == 1 else 'them'}: the section and tables/verdict.csv give the reason.",
            (),
            code="unconfirmed",
            section=name,
        )
        for name, section in sections.items()
        if section.unconfirmed
    ]


def carried_warnings(sections: Mapping[str, Section]) -> list[Statement]:
    """Return each warning once: as an alarm about the scores of one model, or as a caution about their comparison."""
    warnings: dict[str, tuple[bool, str]] = {}
    for name, section in sections.items():
        for difference in section.differences.values():
            sides = (("before", difference.before), ("after", difference.after))
            carried = {
                f"{side}: {warning}": f"({difference.name}, {side} fine-tuning): {warning}"
                for side, scores in sides
                for warning in scores.warnings
            }
            warnings.update(
                {carried.get(w, f"({difference.name}): {w}"): (w in carried, name) for w in difference.warnings}
            )
    return [
        Statement("warnings", State.FAILED if alarm else State.MEASURED,
                  f"{'Warning' if alarm else 'Caution'} {text}", (), code="warning", caution=not alarm, section=name)
        for text, (alarm, name) in warnings.items()
    ]  # fmt: skip
