"""Carry out a command that measures: check, plan, lock folders, run, write and print."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from retroscope.cli.terminal import claimed, emit, note, say
from retroscope.display import progress_bars
from retroscope.files.whole import refuse_closed, refuse_foreign, refuse_other_report
from retroscope.progress import Progress
from retroscope.study.folder import SETTINGS, WRITTEN

Document = Mapping[str, Any]


class Outcome(Protocol):
    """Interface of the results of a run, partial or complete, which a command writes and prints."""

    @property
    def is_final(self) -> bool:
        """Return whether the run is finished."""

    def news(self) -> str:
        """Return one sentence about what was measured since the previous partial results, or "" if there is none."""

    def write(self, folder: Path) -> Path | None:
        """Write results and report into a folder, and return the path of the report, or None if there is no report."""

    def document(self) -> Document:
        """Return the results as the JSON document that `--json` prints."""

    def text(self, folder: Path | None) -> str:
        """Return the text that is printed without `--json`. `folder` is the output folder, or None without one."""

    def close(self) -> None:
        """Remove the intermediate files from which a stopped run would have continued."""


class Plan(Protocol):
    """Interface of a measurement that is planned but not begun, which a command runs or only prints (`--dry-run`)."""

    def lines(self) -> Sequence[str]:
        """Return the lines of the plan, as `--dry-run` prints them."""

    def document(self) -> Document:
        """Return the plan as the JSON document that `--dry-run --json` prints."""

    def run(self, progress: Progress) -> Iterator[Outcome]:
        """Run the measurement. Yield the results so far after every analysis, and the complete results at the end."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """The folders to which a run writes, and what it may replace there.

    Attributes:
        out: folder of the results. If None, they are only printed.
        cache: cache folder for encoded vectors, or None if none are stored.
        replaced: folders below `out` that are replaced as a whole.
        owner: name of the file in `out` that shows that an earlier run of the same command wrote a report there. If
            empty, `out` is not checked for another report.
        parts: names of the folders below `out` for the studies of a set.
    """

    out: Path | None
    cache: Path | None = None
    replaced: tuple[str, ...] = ("tables", "figures")
    owner: str = ""
    parts: tuple[str, ...] = ()

    def check(self) -> None:
        """Check that the run can write to its output folder, and that it replaces only files that an earlier run wrote.

        Raises:
            SettingsError: if the folder cannot be made or written to, or if files of another origin would be replaced.
        """
        if self.out is not None:
            refuse_closed(self.out)
            if self.owner:
                refuse_other_report(self.out, self.owner)
            for name in self.replaced:
                refuse_foreign(self.out / name)
            for part in self.parts:
                refuse_other_report(self.out / part, SETTINGS, WRITTEN)

    @property
    def claims(self) -> tuple[Path, ...]:
        """Return the folders to lock and to test for writing before the long work starts."""
        return () if self.out is None else (self.out, *(self.out / part for part in self.parts))


def carry_out(
    prepare: Callable[[Progress], Plan], place: Destination, *, dry_run: bool, as_json: bool
) -> Outcome | None:
    """Plan a measurement, run it, write and print the results, and return them.

    A dry run prints the plan and returns None. In a run, results are written after every analysis, so that a stopped
    run leaves a study of the finished analyses.

    Args:
        prepare: function that loads models and data and returns the plan. It gets a callback for its progress, and is
            called after the folders are checked.
        as_json: print a JSON document instead of text.
    """
    if not dry_run:
        place.check()
    with progress_bars() as progress:
        plan = prepare(progress)
    if dry_run:
        emit(plan.document()) if as_json else say("\n".join(plan.lines()))
        return None
    note("\n".join(plan.lines()))
    outcome, page = None, None
    with claimed(*place.claims, cache=place.cache), progress_bars() as progress:
        try:
            for outcome in plan.run(progress):
                if outcome.is_final and place.out is not None:
                    note("statistics, tables and figures ...")
                page = None if place.out is None else outcome.write(place.out)
                if not outcome.is_final and (news := outcome.news()):
                    note(news)
        except BaseException:
            if page is not None:
                note(f"report so far: {page}")
            raise
    if outcome is None:
        raise TypeError("the run of the plan returned no outcome")
    emit(outcome.document()) if as_json else say(outcome.text(place.out))
    outcome.close()
    if page is not None:
        note(f"report: {page}")
    return outcome
