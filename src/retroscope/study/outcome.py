"""Plan and outcome of a study, as commands print, run and write them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from retroscope.progress import Progress
from retroscope.study.planning.plan import StudyPlan, measured_analyses, replanned
from retroscope.study.planning.sizes import as_begun, fit
from retroscope.study.reporting.console import console_text
from retroscope.study.run import forget, kept_steps, measure_study
from retroscope.study.stored import MeasurementPlace
from retroscope.study.study import Study


@dataclass(frozen=True, eq=False)
class StudyOutcome:
    """Outcome of a study so far or finished: writes the report, and gives text and JSON.

    Attributes:
        written: measurements that this run has already written; the outcomes of one run share it.
        everything: whether the text is all of the report, not the answer alone.
    """

    plan: StudyPlan
    study: Study
    written: set[MeasurementPlace] = field(default_factory=set)
    everything: bool = False

    @property
    def is_final(self) -> bool:
        """Return whether every analysis has run."""
        return self.study.subject.is_finished

    def write(self, folder: Path) -> Path:
        """Write the study into a folder and return the path of the page."""
        return self.study.report(folder, self.written, overwrite=True)  # refused before, unless the user asked for it

    def news(self) -> str:
        """Return the first conclusion of the analysis that ran last; "" if it has none."""
        steps = [step for step in self.plan.steps if step.planned is not None]
        last = steps[len(steps) - len(self.study.subject.not_yet_run) - 1] if steps else None
        if last is None or last.number or last.analysis.name not in self.study.results:
            return ""
        section = self.study.report_contents.sections[last.analysis.name]
        conclusions = (*section.statements, *section.details)
        first = [s for s in conclusions if s.headline] or conclusions
        return f"{last.analysis.name}: {first[0].text}" if first else ""

    def close(self) -> None:
        """Remove the files that a stopped run would have resumed from."""
        forget(self.plan)

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints: the content of the study's `summary.json`."""
        return self.study.summary()

    def text(self) -> str:
        """Return the report of the study as plain text."""
        return console_text(self.study.report_contents, everything=self.everything)


@dataclass(frozen=True, eq=False)
class Runnable:
    """Plan of a study, which a command prints or runs.

    Attributes:
        notes: lines printed below the plan.
        everything: whether the text of the outcome is all of the report, as for one question, not the answer alone.
    """

    plan: StudyPlan
    notes: tuple[str, ...] = ()
    everything: bool = False

    def within(self, seconds: float, given: Collection[str], out: Path | None, asked: Sequence[str] = ()) -> "Runnable":
        """Return the plan with analysis sizes that fit into a time; an unfinished study in `out` keeps its sizes.

        Args:
            given: analyses whose settings the user named: they keep their size.
            asked: analyses that the study is for.
        """
        fitted = fit(self.plan, seconds, given)
        settings = fitted.settings if out is None else as_begun(fitted.settings, out)
        notes = fitted.lines() if settings is fitted.settings else [f"sizes as {out} began with"]
        wanted, kept = (measured_analyses(one) for one in (self.plan.settings, settings))
        too_long = tuple(one.name for one in wanted if one not in kept)
        return Runnable(
            replace(replanned(self.plan, settings, asked), too_long=too_long), tuple(notes), self.everything
        )

    def lines(self) -> list[str]:
        """Return the lines of the plan, as `--dry-run` prints them."""
        kept = ", ".join(step.what for step in kept_steps(self.plan))
        resumed = [f"kept from a stopped run, though the times above include them: {kept}"] if kept else []
        return [*self.plan.lines(), *resumed, *self.notes]

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON-like values."""
        return self.plan.document()

    def run(self, progress: Progress) -> Iterator[StudyOutcome]:
        """Run the plan; yield the outcome after every analysis."""
        written: set[MeasurementPlace] = set()
        for study in measure_study(self.plan, progress):
            yield StudyOutcome(self.plan, study, written, self.everything)
