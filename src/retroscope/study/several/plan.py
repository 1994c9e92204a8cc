"""Plan a set of studies with a common total, and run them one after another with shared encodings.

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
from retroscope.numbers import count, estimate
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
    """Planned work of one retriever's study, given the results that earlier studies store.

    Attributes:
        lines: the plan in words, without times.
        document: JSON-like.
        measured: whether a finished study exists and is read.
    """

    name: str
    lines: tuple[str, ...]
    document: dict[str, Any]
    measured: bool = False


@dataclass(frozen=True, eq=False)
class SetPlan:
    """Plan of a set of studies, which a command prints or runs.

    Attributes:
        names: names of the retrievers.
        settings: settings of the study of each retriever.
        foreseen: plan of each study, as it is printed.
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
        """Return the names of the collections of the set."""
        return [one["name"] for one in self.foreseen[0].document["collections"]]

    def lines(self) -> list[str]:
        """Return the lines of the plan for `--dry-run`, with a common total."""
        lines: list[str] = []
        for number, one in enumerate(self.foreseen, start=1):
            lines += [f"study {number} of {len(self.names)}: {one.name}", *(f"  {line}" for line in one.lines)]
        width = max(map(len, self.names))
        rows = [f"  {one.name:<{width}}  {estimate(one.document['seconds'])}" for one in self.foreseen]
        total = self.document()
        cache = self.foreseen[0].document["cache"]
        end = f"in all about {estimate(total['seconds'])}, and {total['bytes'] / MIB:,.0f} MiB in {cache}"
        return [*lines, "estimated time:", *rows, end, *self.notes]

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON-like values: the plan of every study, and the totals."""
        studies = [{"name": one.name, "measured": one.measured, **one.document} for one in self.foreseen]
        totals = {name: sum(one.document[name] for one in self.foreseen) for name in ("bytes", "seconds")}
        return {"schema": SCHEMA, **totals, "studies": studies}

    def run(self, progress: Progress) -> Iterator[SetOutcome]:
        """Run one study after another, and yield the outcome of the set after every analysis."""
        done: dict[str, Study] = {}
        folder = self.out or Path()
        for number, (name, settings) in enumerate(zip(self.names, self.settings, strict=True)):
            pending = self.names[number + 1 :]
            if self.foreseen[number].measured:
                done[name] = load_study(folder / folder_name(name))
                yield SetOutcome(StudySet(dict(done), pending), name, folder)
                continue
            outcome = None
            for outcome in self.make(settings, progress).run(progress):
                if outcome.is_final:
                    done[name] = outcome.study
                waiting = pending if outcome.is_final else (name, *pending)
                yield SetOutcome(StudySet(dict(done), waiting), name, folder, outcome)
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
    """Plan every study of a set. Encodings of an earlier study count as stored for later ones.

    Args:
        names: names of the retrievers.
        settings: settings of the study of each retriever. They differ in the retriever alone.
        make: function that loads a retriever and plans its study.
        out: folder of the set. If None, no study is finished.
        again: also measure studies that are already finished.
        notes: lines printed below the plan.
    """
    foreseen: list[Foreseen] = []
    stored: set[str] = set()
    for name, one in zip(names, settings, strict=True):
        plan = _sharing(make(one, progress).plan, stored)
        if out is not None and not again and is_measured(plan, out / folder_name(name)):
            foreseen.append(Foreseen(name, (MEASURED_BEFORE,), plan.document() | NOTHING_TO_DO, measured=True))
            continue
        stored |= {tower["key"] for tower in plan.towers}
        foreseen.append(Foreseen(name, tuple(plan.lines(times=False)), plan.document()))
    return SetPlan(tuple(names), tuple(settings), tuple(foreseen), make, out, tuple(notes))


def _sharing(plan: StudyPlan, stored: Set[str]) -> StudyPlan:
    """Return the plan of a study in which towers encoded by an earlier study count as stored."""
    towers = [{**one, "stored": True, "seconds": 0.0} if one["key"] in stored else one for one in plan.towers]
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
    """Return the settings with equal analysis sizes for all studies of the set, and describe the choice.

    Args:
        seconds: seconds that all studies together may take. If None, the sizes stay.
        given: analyses whose settings the user gave. They keep their size.
        begun: folders of the studies. The first stored study determines the sizes. If empty, no stored study does.

    Raises:
        SettingsError: if what has no sizes takes longer.
    """
    if seconds is None:
        return settings, []
    for one, folder in zip(settings, begun, strict=False):
        stored = as_stored(one, folder, given)
        if stored is not None:
            return [replace(other, analyses=stored.analyses) for other in settings], [f"sizes as {folder} has them"]
    return _fitted(settings, make, progress, seconds, given)


def _fitted(
    settings: Sequence[StudySettings], make: MakePlan, progress: Progress, seconds: float, given: Collection[str]
) -> tuple[list[StudySettings], list[str]]:
    """Return settings with sizes with which all studies together fit into a time, and describe the choice.

    The sizes are those that fit the slowest study: what all take besides is taken off, and each gets an equal share.

    Raises:
        SettingsError: if what has no sizes takes longer.
    """
    fixed, slowest, most, stored = 0.0, None, -1.0, set[str]()
    for one in settings:
        plan = _sharing(make(one, progress).plan, stored)
        stored |= {tower["key"] for tower in plan.towers}
        own = fixed_seconds(plan, given)
        fixed += own
        if sum(plan.seconds.values()) - own > most:
            slowest, most = plan, sum(plan.seconds.values()) - own
    if slowest is None or fixed > seconds:
        raise SettingsError(
            f"a time of {estimate(seconds)} is too short for {count(len(settings), 'study')}: the parts that cannot be "
            f"reduced take about {estimate(fixed)}",
            where="--time",
            fix="give more time, fewer retrievers, or a collection of fewer passages",
        )
    share = fixed_seconds(slowest, given) + (seconds - fixed) / len(settings)
    chosen = fit(slowest, share, given)
    return [replace(one, analyses=chosen.settings.analyses) for one in settings], chosen.lines()
