"""Controls of a study: how many passed, and which of them failed, are undecided or were not run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retroscope.analyses.card import Card
from retroscope.analyses.questions import Question
from retroscope.typesetting.statements import State, Statement

TOPIC = "controls"
PASSED = (State.MEASURED, State.SIGNIFICANT, State.EQUIVALENT)
METHOD = "method"  # section of the page


@dataclass(frozen=True)
class Controls:
    """The controls of a study, sorted by their outcome.

    Attributes:
        passed, failed, undecided, not_run: statements with this outcome, each about one control.
    """

    passed: tuple[Statement, ...]
    failed: tuple[Statement, ...]
    undecided: tuple[Statement, ...]
    not_run: tuple[Statement, ...]

    @property
    def run(self) -> int:
        """Return how many controls were run."""
        return len(self.passed) + len(self.failed) + len(self.undecided)

    def counts(self, most: int) -> str:
        """Describe how many controls passed, and name up to `most` of each other outcome (failed, undecided, not run).

        An undecided control (e.g. with too few queries) has not failed.
        """
        parts = [f"{len(self.passed)} of {self.run} controls passed"]
        if self.failed:
            parts.append(f"failed: {_controls(self.failed, max(most, 1))}")
        elif self.undecided or self.not_run:
            parts[0] += ", none failed"
        others = {"undecided": self.undecided, "not run": self.not_run}
        return "; ".join(
            [
                *parts,
                *(f"{outcome}: {_controls(statements, most)}" for outcome, statements in others.items() if statements),
            ]
        )


def controls_of(statements: Iterable[Statement]) -> Controls:
    """Collect the statements that are about controls, and sort them by outcome."""
    about = [s for s in statements if s.control]
    return Controls(
        passed=tuple(s for s in about if s.state in PASSED),
        failed=tuple(s for s in about if s.failed),
        undecided=tuple(s for s in about if s.state in (State.NOT_SIGNIFICANT, State.TOO_FEW)),
        not_run=tuple(s for s in about if s.state is State.NOT_RUN),
    )


def trust(controls: Controls, alarms: Sequence[Statement], most: int) -> Card:
    """Return the answer card about the controls: how many passed, and which failed, are undecided or were not run.

    At most `most` names are listed for each outcome.

    Args:
        alarms: statements about all failed controls and checks.
    """
    others = [s for s in alarms if not s.control]
    alarm = [f"alarm: {listing([s.section for s in others], max(most, 1))}"] if others else []
    parts = [*alarm, controls.counts(most)]
    state = State.FAILED if alarms else State.MEASURED if controls.run else State.NOT_RUN
    where = next((s.section for s in (*alarms, *controls.undecided, *controls.passed)), METHOD)
    text = f"{'; '.join(parts)}."
    text = f"{text[0].upper()}{text[1:]}"
    return Card(Question.TRUST, text.removesuffix("."), Statement(TOPIC, state, text, (), code="all", section=where))


def _controls(some: Sequence[Statement], most: int) -> str:
    return listing([s.control for s in some], most) if most else f"{len(some)}"


def listing(names: Sequence[str], most: int) -> str:
    """Join distinct names with commas: at most `most` names, then how many more there are."""
    distinct = list(dict.fromkeys(names))
    rest = len(distinct) - most
    return ", ".join(distinct[:most]) + (f" and {rest} more" if rest > 0 else "")
