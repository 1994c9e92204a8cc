"""Plan a set of studies, with their total time, and run them one after another with a shared cache of vectors.

One retriever is loaded at a time: its study is planned, the retriever is dropped, and it is loaded again for the run.
"""

from collections.abc import Callable, Collection, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from retroscope.analyses.analysis import TowerWork
from retroscope.errors import SettingsError
from retroscope.files.documents import SCHEMA
from retroscope.inputs.settings import StudySettings
from retroscope.number_format import count, estimate
from retroscope.progress import Progress
from retroscope.study.outcome import NOTHING_TO_DO, Runnable
from retroscope.study.planning.plan import StudyPlan
from retroscope.study.planning.plan_text import MIB
from retroscope.study.planning.sizes import as_stored, fit, fixed_seconds
from retroscope.study.run import is_measured
from retroscope.study.several.names import folder_name
from retroscope.study.several.outcome import SetOutcome
from retroscope.study.several.study_set import StudySet
from retroscope.study.study import Study, load_study

MEASURED_BEFORE = "measured before: the study in its folder is read"
MakePlan = Callable[[StudySettings, Progress], Runnable]


@dataclass(frozen=True)
class Foreseen:
    """The plan of one retriever's study. Vectors that an earlier study of the set encodes count as stored.

    Attributes:
        lines: lines of the plan, without times.
        document: the plan as JSON-like values.
        measured: whether the study is already finished, so that it is read instead of measured.
    """

    name: str
    lines: tuple[str, ...]
    document: dict[str, Any]
    measured: bool = False


@dataclass(frozen=True, eq=False)
class SetPlan:
    """Plan of the studies of one backbone with several retrievers, which a command prints or runs.

    Attributes:
        names: names of the retrievers.
        settings: settings of the study of each retriever.
        foreseen: plan of each study, for printing.
        make: function that loads a retriever and plans its study.
        out: folder of the set. Its finished studies are read instead of measured. If None, none is read.
        notes: lines printed below the plan.
    """

    names: tuple[str, ...]
    settings: tuple[StudySettings, ...]
    foreseen: tuple[Foreseen, ...]
    make: MakePlan
    out: Path | None
    notes: tuple[str, ...] = ()

    @property
    def collections(self) -> list[str]:
        """Return the names of the collections, which all studies share."""
        return [collection["name"] for collection in self.foreseen[0].document["collections"]]

    def lines(self) -> list[str]:
        """Return the lines that `--dry-run` prints: the plan and time of each study, and the total time."""
        lines: list[str] = []
        for number, study in enumerate(self.foreseen, start=1):
            lines += [f"study {number} of {len(self.names)}: {study.name}", *(f"  {line}" for line in study.lines)]
        width = max(map(len, self.names))
        rows = [f"  {study.name:<{width}}  {estimate(study.document['seconds'])}" for study in self.foreseen]
        total = self.document()
        cache = self.foreseen[0].document["cache"]
        end = f"in all about {estimate(total['seconds'])}, and {total['bytes'] / MIB:,.0f} MiB in {cache}"
        return [*lines, "estimated time:", *rows, end, *self.notes]

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON-like values: the plan of every study, and the totals."""
        studies = [{"name": plan.name, "measured": plan.measured, **plan.document} for plan in self.foreseen]
        totals = {name: sum(plan.document[name] for plan in self.foreseen) for name in ("bytes", "seconds")}
        return {"schema": SCHEMA, **totals, "studies": studies}

    def run(self, progress: Progress) -> Iterator[SetOutcome]:
        """Run one study after another, and yield the results so far after every analysis."""
        finished: dict[str, Study] = {}
        folder = self.out or Path()
        for number, (name, settings) in enumerate(zip(self.names, self.settings, strict=True)):
            pending = self.names[number + 1 :]
            if self.foreseen[number].measured:
                finished[name] = load_study(folder / folder_name(name))
                yield SetOutcome(StudySet(dict(finished), pending), name, folder)
                continue
            outcome = None
            for outcome in self.make(settings, progress).run(progress):
                if outcome.is_final:
                    finished[name] = outcome.study
                waiting = pending if outcome.is_final else (name, *pending)
                yield SetOutcome(StudySet(dict(finished), waiting), name, folder, outcome)
            if outcome is not None:
                outcome.close()  # it is written by now


def plan_set(
    names: Sequence[str],
    settings: Sequence[StudySettings],
    make: MakePlan,
    progress: Progress,
    *,
    out: Path | None,
    again: bool = False,
    notes: Sequence[str] = (),
) -> SetPlan:
    """Plan the study of one backbone with each of several retrievers.

    Vectors that one study encodes count as stored for the studies after it.

    Args:
        names: names of the retrievers.
        settings: settings of the study of each retriever, which are equal except for the retriever.
        make: function that loads a retriever and plans its study.
        out: folder of the set, whose finished studies are not measured again. If None, all studies are measured.
        again: measure finished studies in `out` again.
        notes: lines printed below the plan.
    """
    foreseen: list[Foreseen] = []
    stored: set[str] = set()
    for name, own in zip(names, settings, strict=True):
        plan = _sharing(make(own, progress).plan, stored)
        if out is not None and not again and is_measured(plan, out / folder_name(name)):
            foreseen.append(Foreseen(name, (MEASURED_BEFORE,), plan.document() | NOTHING_TO_DO, measured=True))
            continue
        stored |= {tower["key"] for tower in plan.towers}
        foreseen.append(Foreseen(name, tuple(plan.lines(times=False)), plan.document()))
    return SetPlan(tuple(names), tuple(settings), tuple(foreseen), make, out, tuple(notes))


def _sharing(plan: StudyPlan, stored: Set[str]) -> StudyPlan:
    """Return the plan of a study in which vectors that an earlier study encodes count as stored."""
    towers = [{**tower, "stored": True, "seconds": 0.0} if tower["key"] in stored else tower for tower in plan.towers]
    return replace(plan, towers=tuple(cast(list[TowerWork], towers)))


def sized_settings(
    settings: Sequence[StudySettings],
    make: MakePlan,
    progress: Progress,
    seconds: float | None,
    given: Collection[str],
    *,
    begun: Sequence[Path],
) -> tuple[Sequence[StudySettings], list[str]]:
    """Choose common sample sizes for all studies, and return their settings and lines that describe the sizes.

    Args:
        seconds: seconds that all studies together may take. If None, the sizes do not change.
        given: analyses whose settings the user gave. Their sizes do not change.
        begun: folders of the studies. If one of them already holds a study that differs from the new one only in sample
            sizes, its sizes are used (those of the first such folder).

    Raises:
        SettingsError: if the stages without a choice of size (e.g. encoding) already take longer.
    """
    if seconds is None:
        return settings, []
    for own, folder in zip(settings, begun, strict=False):
        stored = as_stored(own, folder, given)
        if stored is not None:
            sized = [replace(other, analyses=stored.analyses) for other in settings]
            return sized, [f"sample sizes of the study in {folder}"]
    return _fitted(settings, make, progress, seconds, given)


def _fitted(
    settings: Sequence[StudySettings], make: MakePlan, progress: Progress, seconds: float, given: Collection[str]
) -> tuple[list[StudySettings], list[str]]:
    """Return settings whose sample sizes let all studies fit into a time, and lines that describe these sizes.

    The time of all stages without a choice of size is subtracted. Every study gets an equal part of the remaining time,
    and the sizes are those with which the slowest study fits into its part.

    Raises:
        SettingsError: if the stages without a choice of size (e.g. encoding) already take longer.
    """
    fixed, slowest, most, stored = 0.0, None, -1.0, set[str]()
    for values in settings:
        plan = _sharing(make(values, progress).plan, stored)
        stored |= {tower["key"] for tower in plan.towers}
        own = fixed_seconds(plan, given)
        fixed += own
        if sum(plan.seconds.values()) - own > most:
            slowest, most = plan, sum(plan.seconds.values()) - own
    if slowest is None or fixed > seconds:
        raise SettingsError(
            f"a time of {estimate(seconds)} is too short for {count(len(settings), 'study')}: the stages that cannot "
            f"be shortened take about {estimate(fixed)}",
            where="--time",
            fix="give more time, fewer retrievers, or a collection of fewer passages",
        )
    share = fixed_seconds(slowest, given) + (seconds - fixed) / len(settings)
    fitted = fit(slowest, share, given)
    return [replace(values, analyses=fitted.settings.analyses) for values in settings], fitted.lines()
