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

AGAIN = "repeat the command"
OF_TRAININGS = "remaining analyses of the other training runs"


@dataclass(frozen=True)
class Missing:
    """One measurement that a study lacks, with the option that adds it.

    Attributes:
        what: name of the measurement, e.g. "retrieval by layer".
        option: option to add to the command, or to remove from it, or "" if no command can measure it.
        reason: reason why it was not measured, or "".
    """

    what: str
    option: str

    reason: str = ""

    def __str__(self) -> str:
        return f"{self.what} ({self.option})" if self.option else self.what


def missing(subject: Subject, sections: Mapping[str, Section]) -> tuple[Missing, ...]:
    """List the measurements that a study of two models lacks, the most informative first.

    First those that have not run yet, last those that extend an analysis that was run, e.g. to the query tower.
    """
    waiting = [Missing(name, AGAIN) for name in subject.pending]
    known = [a for name, a in analyses().items() if name not in sections and a.instrument is not None]
    left_out = [a for a in known if subject.settings.get(a.name, {}) is None]
    absent = [Missing(_words(a.name), a.option) for a in known if a.option and a not in left_out]
    off = [
        Missing(_words(a.name), "more --time" if a.name in subject.too_long else _without(a))
        for a in left_out
        if not a.on_request
    ]
    unasked = [Missing(_words(a.name), switch_of(a)) for a in left_out if a.on_request]
    alone = [Missing("another collection", "--also SPEC")] if len(subject.collections) == 1 else []
    untested = [Missing("equivalence", "--margin X")] if subject.statistics.margin is None else []
    controls = (
        [Missing("random weights", "without --no-random-weights")]
        if subject.settings.get("random_weights") is False
        else []
    )
    parts = [Missing(what, option) for section in sections.values() for what, option in section.left_out.items()]
    trainings = _of_further_trainings(subject, sections)
    refused = [Missing(_words(step.analysis), "", step.reason) for step in subject.refused]
    return (*waiting, *refused, *off, *controls, *trainings, *absent, *untested, *alone, *unasked, *parts)


def _of_further_trainings(subject: Subject, sections: Mapping[str, Section]) -> list[Missing]:
    """Return one entry that names the analyses of the first training run alone, or [] if all used every run."""
    if subject.trainings == 1:
        return []
    known = analyses()
    over = [known[name] for name in sections if name in known and known[name].over_trainings]
    covered = {name for analysis in over for name in (analysis.name, *analysis.needs)}
    measured = [name for name, analysis in known.items() if name in sections and analysis.instrument is not None]
    names = ", ".join(_words(name) for name in measured if name not in covered)
    reason = f"{names} were measured for {subject.after.name} alone"
    return [Missing(OF_TRAININGS, "", reason)] if names else []


def _without(one: Analysis) -> str:
    """Return which option to remove from the command, e.g. "without --no-probes", to measure an analysis."""
    by_depth = any(size.values is None for size in one.sizes)
    return f"without {switch_of(one)}{' or --depth glance' if by_depth else ''}"


def lacking(found: Sequence[Missing], most: int) -> Card:
    """Return the answer card that names at most `most` missing measurements, or says that there are none."""
    state = State.NOT_RUN if found else State.MEASURED
    text = listing([str(measurement) for measurement in found], most) if found else "Nothing: every analysis was run"
    statement = Statement("not measured", state, f"{text[0].upper()}{text[1:]}.", (), code="all", section=METHOD)
    return Card(Question.MISSING, f"{text[0].upper()}{text[1:]}", statement)


def _words(name: str) -> str:
    return name.replace("_", " ")
