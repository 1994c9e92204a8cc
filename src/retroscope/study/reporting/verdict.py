"""The verdict: the conclusions of all sections, alarms first, and the doubts about them.

Rules, each tested:
- a difference is claimed only when its corrected p is below alpha; two are called equivalent only
  when the equivalence test says so; anything else is "no evidence", never "no difference";
- controls and self-tests that failed come first, and every conclusion that rests on them is marked;
- what a control speaks against is not in the verdict: it is counted, and stands in its own section.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from retroscope.analyses import analyses
from retroscope.analyses.section import Section
from retroscope.typesetting.numbers import count
from retroscope.typesetting.statements import ALARM, CAUTION, NOTE, Statement, with_self_tests
from retroscope.typesetting.subject import Subject


@dataclass(frozen=True)
class Verdict:
    """The conclusions of a study.

    Attributes:
        headline: on retrieval; None where one model was measured.
        alarms: reasons to doubt an instrument.
        statements: every other conclusion, in reading order.
        unconfirmed: what a control speaks against.
    """

    headline: Statement | None
    alarms: tuple[Statement, ...]
    statements: tuple[Statement, ...]
    unconfirmed: tuple[Statement, ...] = ()

    def everything(self) -> tuple[Statement, ...]:
        """Return alarms, headline and the rest, in reading order."""
        return (*self.alarms, *([self.headline] if self.headline else []), *self.statements)


def verdict(sections: Mapping[str, Section], subject: Subject) -> Verdict:
    """Return the verdict of all sections; every statement is marked that rests on a side with failed self-tests."""
    marked = [with_self_tests(s, subject) for s in _conclusions(sections)]
    unconfirmed = [with_self_tests(s, subject) for section in sections.values() for s in section.unconfirmed]
    warnings = carried_warnings(sections)
    headlines = [s for s in marked if s.headline]
    calm = [s for s in marked if s.tone != ALARM and not s.headline]
    return Verdict(
        headline=headlines[0] if headlines else None,
        alarms=tuple(s for s in (*marked, *warnings) if s.tone == ALARM),
        statements=(*calm, *_counted(sections), *(s for s in warnings if s.tone != ALARM)),
        unconfirmed=tuple(unconfirmed),
    )


def _conclusions(sections: Mapping[str, Section]) -> Iterator[Statement]:
    """Return the statements in reading order; details only if no section sums them up."""
    known = analyses()
    summed_up = {other for name in sections if name in known for other in known[name].sums_up}
    for name, section in sections.items():
        yield from section.statements
        if name not in summed_up:
            yield from section.details


def _counted(sections: Mapping[str, Section]) -> list[Statement]:
    """Count the statements that are not in the verdict, and say why and where they are."""
    return [
        Statement(
            name,
            NOTE,
            f"{count(len(section.unconfirmed), 'more statement')} of the section {name} rest on what its controls or "
            "warnings put in doubt: see that section, or tables/verdict.csv.",
            (),
        )
        for name, section in sections.items()
        if section.unconfirmed
    ]


def carried_warnings(sections: Mapping[str, Section]) -> list[Statement]:
    """Return the warnings of the measurements, once each: an alarm where the scores bring it, else a caution."""
    tones: dict[str, str] = {}
    for section in sections.values():
        for difference in section.differences.values():
            sides = (("before", difference.before), ("after", difference.after))
            carried = {f"{side}: {warning}" for side, scores in sides for warning in scores.warnings}
            tones.update({f"{difference.name}: {w}": ALARM if w in carried else CAUTION for w in difference.warnings})
    return [Statement("warnings", tone, f"Warning of {text}", ()) for text, tone in tones.items()]
