"""Controls of a study: how many passed, which failed, and which are undecided."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retroscope.analyses.answer import Card
from retroscope.analyses.questions import Question
from retroscope.typesetting.numbers import count
from retroscope.typesetting.statements import State, Statement

TOPIC = "controls"
PASSED = (State.MEASURED, State.SIGNIFICANT, State.EQUIVALENT)
METHOD = "method"  # section of the page


@dataclass(frozen=True)
class Controls:
    """Outcomes of all controls: what must fail or hold, so that the results can be trusted.

    Attributes:
        passed, failed, undecided, too_few, not_run: statements about one control each. Of `too_few` the data could not
            have decided; of `undecided` they could, and the test is not significant.
    """

    passed: tuple[Statement, ...]
    failed: tuple[Statement, ...]
    undecided: tuple[Statement, ...]
    too_few: tuple[Statement, ...]
    not_run: tuple[Statement, ...]

    @property
    def run(self) -> int:
        """Return how many were run."""
        return len(self.passed) + len(self.failed) + len(self.undecided) + len(self.too_few)


def controls_of(statements: Iterable[Statement]) -> Controls:
    """Sort the statements about controls by their outcome."""
    about = [s for s in statements if s.control]
    return Controls(
        passed=tuple(s for s in about if s.state in PASSED),
        failed=tuple(s for s in about if s.failed),
        undecided=tuple(s for s in about if s.state is State.NOT_SIGNIFICANT),
        too_few=tuple(s for s in about if s.state is State.TOO_FEW),
        not_run=tuple(s for s in about if s.state is State.NOT_RUN),
    )


def trust(controls: Controls, alarms: Sequence[Statement], most: int) -> Card:
    """Return how many controls passed, failed and are undecided, with at most `most` of each kind named.

    Args:
        alarms: everything that failed, whether it is a control or a check.
    """
    parts = _outcomes(controls, most)
    if others := [s.section for s in alarms if not s.control]:
        parts.append(f"alarms: {listing(others, most)}")
    state = State.FAILED if alarms else State.MEASURED if controls.run else State.NOT_RUN
    ranked = (*alarms, *controls.undecided, *controls.too_few, *controls.passed)
    where = next((s.section for s in ranked), METHOD)
    text = "; ".join(parts)
    statement = Statement(TOPIC, state, f"{text}.", (), code="all", section=where)
    return Card(Question.TRUST, text, statement)


def _outcomes(controls: Controls, most: int) -> list[str]:
    """Say what passed, failed and is undecided, each in words of its own: what is undecided has not failed."""
    passed, run = len(controls.passed), controls.run
    of_run = f"of {count(run, 'control')}"
    if not run:
        parts = ["No control was run"]
    elif controls.failed:
        parts = [f"{len(controls.failed)} {of_run} failed: {_names(controls.failed, most)}", f"{passed} passed"]
    elif passed < run:
        parts = [f"{passed} {of_run} passed, none failed"]
    else:
        parts = [f"All {run} controls passed" if run > 1 else "The one control passed"]
    for some, outcome in ((controls.undecided, "undecided"), (controls.too_few, "undecided, too few data to decide")):
        if some:
            parts.append(f"{len(some)} {outcome}: {_names(some, most)}")
    return [*parts, *([f"not run: {_names(controls.not_run, most)}"] if controls.not_run else ())]


def _names(statements: Sequence[Statement], most: int) -> str:
    return listing([s.control for s in statements], most)


def listing(names: Sequence[str], most: int) -> str:
    """Join distinct names with commas, at most `most` and the number of the rest."""
    distinct = list(dict.fromkeys(names))
    rest = len(distinct) - most
    return ", ".join(distinct[:most]) + (f" and {rest} more" if rest > 0 else "")
