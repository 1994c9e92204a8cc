"""The plan of a study, which a command prints and runs, and its outcome, which the command prints and writes."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from retroscope.progress import Progress
from retroscope.study.planning.plan import StudyPlan, measured_analyses, replanned
from retroscope.study.planning.sizes import as_stored, fit
from retroscope.study.repeating import reason_to_repeat
from retroscope.study.reporting.console import console_text
from retroscope.study.reporting.report import write_report
from retroscope.study.run import forget, is_measured, kept_steps, measure_study
from retroscope.study.stored import MeasurementPlace
from retroscope.study.study import Study, load_study

NOTHING_TO_DO = {"seconds": 0.0, "bytes": 0, "stages": {}}  # in the document of a plan whose study is finished

NEWS = 300  # characters, at most, of what is printed after each analysis; the page has the whole statement


@dataclass(frozen=True, eq=False)
class StudyOutcome:
    """A running or finished study, with methods that write its report and return its results as text or JSON.

    Attributes:
        written: measurements that this run has already written; all outcomes of the run share this set.
        everything: whether `text` returns the whole report instead of the answer alone.
        was_stored: whether the study was read from its output folder, so that only its report is written again.
    """

    plan: StudyPlan
    study: Study
    written: set[MeasurementPlace] = field(default_factory=set)
    everything: bool = False
    was_stored: bool = False

    @property
    def is_final(self) -> bool:
        """Return whether every analysis has run."""
        return self.study.subject.is_finished

    def write(self, folder: Path) -> Path:
        """Write the study into a folder and return the path of the page."""
        if self.was_stored:
            return write_report(self.study.report_contents, folder)
        return self.study.report(folder, self.written, overwrite=True)  # refused before, unless the user asked for it

    def news(self) -> str:
        """Return the first sentences of the latest analysis's first conclusion, or "" if it has none."""
        steps = [step for step in self.plan.steps if step.planned is not None]
        last = steps[len(steps) - len(self.study.subject.not_yet_run) - 1] if steps else None
        if last is None or last.number or last.analysis.name not in self.study.results:
            return ""
        section = self.study.report_contents.sections[last.analysis.name]
        conclusions = (*section.statements, *section.details)
        first = [s for s in conclusions if s.headline] or conclusions
        return f"{last.analysis.name}: {_first_sentences(first[0].text)}" if first else ""

    def close(self) -> None:
        """Remove the files from which a stopped run would have resumed."""
        forget(self.plan)

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints: the content of the study's `summary.json`."""
        return self.study.summary()

    def text(self, folder: Path | None) -> str:
        """Return the short answer of the study, or its whole report, as plain text.

        `folder` is the folder of the study, or None.
        """
        return console_text(self.study.report_contents, everything=self.everything, folder=folder)


def _first_sentences(text: str) -> str:
    """Return the first sentences of a text that fit into `NEWS` characters; the whole text if the first does not."""
    end = text.rfind(". ", 0, NEWS) if len(text) > NEWS else -1
    return text if end < 0 else text[: end + 1]


@dataclass(frozen=True, eq=False)
class Runnable:
    """Plan of a study, which a command prints or runs.

    Attributes:
        notes: lines printed below the plan.
        everything: whether the whole report is printed at the end (as for a command of one analysis), instead of the
            answer alone.
        finished: folder with a finished study of the same plan, which is read instead of measured, or None if there is
            none.
    """

    plan: StudyPlan
    notes: tuple[str, ...] = ()
    everything: bool = False
    finished: Path | None = None

    def within(self, seconds: float, given: Collection[str], out: Path | None, asked: Sequence[str] = ()) -> "Runnable":
        """Choose sample sizes with which the study is estimated to take at most `seconds`, and return the new plan.

        If `out` holds a study with other sample sizes but otherwise equal settings, its sizes are used instead.

        Args:
            given: analyses whose settings the user gave. Their sizes do not change.
            asked: analyses that the study was started for.
        """
        settings = None if out is None else as_stored(self.plan.settings, out, given)
        notes = [f"sample sizes of the study in {out}"]
        if settings is None:
            fitted = fit(self.plan, seconds, given)
            settings, notes = fitted.settings, fitted.lines()
        before, after = (measured_analyses(values) for values in (self.plan.settings, settings))
        too_long = tuple(analysis.name for analysis in before if analysis not in after)
        plan = replace(replanned(self.plan, settings, asked), too_long=too_long)
        return replace(self, plan=plan, notes=tuple(notes))

    def repeated(self, out: Path) -> "Runnable":
        """Return a plan that reads the study in `out` if this study is finished and unchanged.

        Otherwise, the returned plan measures the study. If `out` holds a finished one, a note says why it is not used.
        """
        if is_measured(self.plan, out):
            return replace(self, finished=out)
        reason = reason_to_repeat(self.plan, out)
        again = (f"the study in {out} is finished, but it is measured again: {reason}",) if reason else ()
        return replace(self, notes=(*self.notes, *again))

    def lines(self) -> list[str]:
        """Return the lines of the plan, as `--dry-run` prints them."""
        if self.finished is not None:
            read = f"the study in {self.finished} is finished: it is read, and nothing is measured"
            return [*self.notes, f"{read} (--overwrite measures it again)"]
        finished_steps = ", ".join(step.what for step in kept_steps(self.plan))
        resumed = (
            [f"already measured by a stopped run, but still included in the times above: {finished_steps}"]
            if finished_steps
            else []
        )
        return [*self.plan.lines(), *resumed, *self.notes]

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON-like values."""
        return self.plan.document() | (NOTHING_TO_DO if self.finished else {})

    def run(self, progress: Progress) -> Iterator[StudyOutcome]:
        """Run the plan, and yield the results so far after every analysis.

        If the study is already finished, there is only one result.
        """
        if self.finished is not None:
            study = load_study(self.finished)
            yield StudyOutcome(self.plan, study, everything=self.everything, was_stored=True)
            return
        written: set[MeasurementPlace] = set()
        for study in measure_study(self.plan, progress):
            yield StudyOutcome(self.plan, study, written, self.everything)
