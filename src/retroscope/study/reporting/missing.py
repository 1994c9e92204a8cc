"""List the measurements that a study lacks, and the option that adds each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retroscope.analyses import analyses
from retroscope.analyses.analysis import Analysis, switch_of
from retroscope.analyses.card import Card
from retroscope.analyses.questions import Question
from retroscope.analyses.section import Section
from retroscope.study.reporting.controls import METHOD, listing
from retroscope.typesetting.statements import State, Statement
from retroscope.typesetting.subject import Subject

AGAIN = "the same command continues"
OF_TRAININGS = "other analyses of the further trainings"


@dataclass(frozen=True)
class Missing:
    """One measurement that a study lacks, with the option that adds it.

    Attributes:
        what: a few words that name it.
        option: option to add to the command, or to remove from it, or "" if no command can measure it.
        reason: why it was not measured, if that is known.
    """

    what: str
    option: str

    reason: str = ""

    def __str__(self) -> str:
        return f"{self.what} ({self.option})" if self.option else self.what


def missing(subject: Subject, sections: Mapping[str, Section]) -> tuple[Missing, ...]:
    """List the measurements that a study of a pair lacks. Stopped ones come first."""
    waiting = [Missing(name, AGAIN) for name in subject.pending]
    known = [one for name, one in analyses().items() if name not in sections and one.instrument is not None]
    left_out = [one for one in known if subject.settings.get(one.name, {}) is None]
    absent = [Missing(_words(one.name), one.option) for one in known if one.option and one not in left_out]
    off = [
        Missing(_words(one.name), "more --time" if one.name in subject.too_long else _without(one))
        for one in left_out
        if not one.on_request
    ]
    unasked = [Missing(_words(one.name), switch_of(one)) for one in left_out if one.on_request]
    alone = [Missing("another collection", "--also SPEC")] if len(subject.collections) == 1 else []
    untested = [Missing("equivalence", "--margin X")] if subject.statistics.margin is None else []
    controls = (
        [Missing("random weights", "without --no-random-weights")]
        if subject.settings.get("random_weights") is False
        else []
    )
    parts = [Missing(what, option) for section in sections.values() for what, option in section.left_out.items()]
    trainings = _of_further_trainings(subject, sections)
    refused = [Missing(_words(one.analysis), "", one.reason) for one in subject.refused]
    return (*waiting, *refused, *off, *parts, *controls, *trainings, *absent, *untested, *alone, *unasked)


def _of_further_trainings(subject: Subject, sections: Mapping[str, Section]) -> list[Missing]:
    """Name the measurements of the first of several trainings alone, or "" if there is one training."""
    if subject.trainings == 1:
        return []
    known = analyses()
    over = [known[name] for name in sections if name in known and known[name].over_trainings]
    covered = {name for one in over for name in (one.name, *one.needs)}
    measured = [name for name, one in known.items() if name in sections and one.instrument is not None]
    names = ", ".join(_words(name) for name in measured if name not in covered)
    reason = f"{names} were measured for {subject.after.name} alone"
    return [Missing(OF_TRAININGS, "", reason)] if names else []


def _without(one: Analysis) -> str:
    """Return what to remove from the command to measure an analysis that was left out."""
    by_depth = any(size.values is None for size in one.sizes)
    return f"without {switch_of(one)}{' or --depth glance' if by_depth else ''}"


def lacking(found: Sequence[Missing], most: int) -> Card:
    """Return the card that names at most `most` missing measurements."""
    state = State.NOT_RUN if found else State.MEASURED
    text = listing([str(one) for one in found], most) if found else "Nothing: every analysis was run"
    statement = Statement("not measured", state, f"{text[0].upper()}{text[1:]}.", (), code="all", section=METHOD)
    return Card(Question.MISSING, f"{text[0].upper()}{text[1:]}", statement)


def _words(name: str) -> str:
    return name.replace("_", " ")
