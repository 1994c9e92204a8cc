"""Statement: one conclusion in plain words, with what it rests on."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from retroscope.typesetting.subject import AFTER, BEFORE, Subject

ALARM = "alarm"  # the instrument is in doubt: said first
CAUTION = "caution"  # a limit of what was measured
CHANGED = "changed"  # a difference that the tests support
EQUIVALENT = "equivalent"  # no larger than the stated margin, tested
NO_EVIDENCE = "no evidence"  # neither a difference nor equivalence was shown
SHOWN = "shown"  # about one side, supported by a test
NOTE = "note"  # a fact without a test


@dataclass(frozen=True)
class Statement:
    """A conclusion.

    Attributes:
        topic: what it is about, e.g. "retrieval".
        tone: `ALARM`, `CAUTION`, `CHANGED`, `EQUIVALENT`, `NO_EVIDENCE`, `SHOWN` or `NOTE`.
        text: short sentences with numbers.
        rests_on: the sides whose numbers it uses.
        doubts: why not to trust it, e.g. a failed self-test of a side it rests on.
        title: what other statements call it, for an alarm that they rest on; its text begins with it.
        instruments: the instruments that it names, where some are doubted later.
        headline: whether a report opens with it, after the alarms.
    """

    topic: str
    tone: str
    text: str
    rests_on: tuple[str, ...] = (BEFORE, AFTER)
    doubts: tuple[str, ...] = ()
    title: str = ""
    instruments: tuple[str, ...] = ()
    headline: bool = False

    def doubted(self, *reasons: str) -> "Statement":
        """Return the same statement with more reasons for doubt."""
        return replace(self, doubts=(*self.doubts, *reasons))


def seen_above(alarms: Iterable[Statement]) -> list[str]:
    """Return the titles of alarms further up the page, as reasons for doubt."""
    return [f"{alarm.title} (see above)" for alarm in alarms]


def with_self_tests(statement: Statement, subject: Subject) -> Statement:
    """Return the statement, marked for every side it rests on that failed a self-test."""
    failed = [side for side in statement.rests_on if side in subject.models and subject.side(side).failed_tests]
    return statement.doubted(*(f"rests on the {side} side, which failed a self-test (see above)" for side in failed))
