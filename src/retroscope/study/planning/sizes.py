"""Choose the sizes of analyses: `--depth` names one of three sizes, `--time` gives the best sizes that fit.

What is chosen are settings, written out like all others: the same `settings.yaml` gives the same numbers on any
machine. Only the choice by time depends on the speed of this one.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from retroscope.analyses import analyses
from retroscope.analyses.analysis import LEFT_OUT, Analysis, AnalysisSize, switch_of
from retroscope.errors import SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.inputs.settings_files import merged, plain, read_as
from retroscope.numbers import estimate
from retroscope.study.folder import FACTS, SETTINGS, stored_settings
from retroscope.study.planning.plan import StudyPlan
from retroscope.study.settings import from_values, settings_of

DEAR = 10  # an error names the parts that take at least one of so many equal parts of the time


@dataclass(frozen=True)
class Bought:
    """The size of one analysis that was chosen so that the study fits into the given time.

    Attributes:
        seconds: estimated seconds.
    """

    analysis: str
    size: AnalysisSize
    seconds: float

    def line(self) -> str:
        """Describe the chosen size in one line."""
        if self.size.values is None:
            return f"  {self.analysis}: left out, since no size of it fits"
        width = f"half-width about {self.size.half_width:.2g} times the default size's"
        return f"  {self.analysis}: about {estimate(self.seconds)}; {width}"


@dataclass(frozen=True)
class Fitted:
    """Settings of a study that fits into a given time, and the chosen sample size of each analysis."""

    settings: StudySettings
    bought: tuple[Bought, ...]
    seconds: float

    def lines(self) -> list[str]:
        """Describe the chosen sizes, one line for each analysis."""
        fit = "the largest sizes:" if math.isinf(self.seconds) else f"sizes that fit into {estimate(self.seconds)}:"
        return [fit, *(one.line() for one in self.bought)]


def fit(plan: StudyPlan, seconds: float, given: Collection[str] = ()) -> Fitted:
    """Choose the sizes of all analyses so that the study is estimated to take at most `seconds`.

    All analyses begin with their smallest size. Then the analysis that gains most certainty per second is enlarged,
    repeatedly. The gain is the fall of the logarithm of its half-width. Of two analyses with equal gains, the one
    measured first is enlarged.

    Args:
        plan: plan of the study, with any sizes.
        given: analyses whose settings the user gave. They keep their size.

    Raises:
        SettingsError: if the parts with a fixed size already take longer.
    """
    ladders = {name: _ladder(plan, analyses()[name]) for name in _sized(plan, given)}
    fixed = fixed_seconds(plan, given)
    if fixed > seconds:
        raise _too_short(plan, seconds, fixed, _sized(plan, given))
    chosen = _enlarged(ladders, seconds - fixed)
    bought = tuple(ladders[name][at] for name, at in chosen.items())
    settings = {one.analysis: _resized(plan.settings, analyses()[one.analysis], one.size) for one in bought}
    return Fitted(replace(plan.settings, analyses={**plan.settings.analyses, **settings}), bought, seconds)


def _too_short(plan: StudyPlan, seconds: float, fixed: float, sized: Collection[str]) -> SettingsError:
    """Return the error for a time that is too short. It names the expensive parts and what can be left out."""
    parts = {name: spent for name, spent in plan.seconds.items() if name not in sized and spent >= fixed / DEAR}
    dear = sorted(parts, key=lambda name: -parts[name])
    optional = [f"{name} ({switch_of(one)})" for name in dear if (one := analyses().get(name)) and not one.required]
    leave = f", leave out {' and '.join(optional)}" if optional else ""
    return SettingsError(
        f"a time of {estimate(seconds)} is too short: the parts that cannot be reduced take about {estimate(fixed)} "
        f"({', '.join(f'{name} {estimate(parts[name])}' for name in dear)})",
        where="--time",
        fix=f"give more time{leave}, or a collection of fewer passages",
    )


def fixed_seconds(plan: StudyPlan, given: Collection[str] = ()) -> float:
    """Return the estimated seconds of encoding, statistics and all analyses with only one size."""
    return sum(plan.seconds.values()) - sum(_seconds(plan, name) or 0.0 for name in _sized(plan, given))


def _sized(plan: StudyPlan, given: Collection[str]) -> list[str]:
    """Return the planned analyses with several sizes and a predicted time, and without a size given by the user."""
    return [name for name, one in analyses().items()
            if len(one.sizes) > 1 and name not in given and _seconds(plan, name) is not None]  # fmt: skip


def as_stored(settings: StudySettings, folder: Path, given: Collection[str] = ()) -> StudySettings | None:
    """Return the settings of the study in a folder if they differ from these only in sizes, or else None.

    The sizes that fit depend on the speed of the machine at that moment, so a repeated study keeps its stored sizes.

    Args:
        given: analyses whose settings the user gave. Their sizes must be equal, too.
    """
    if not (folder / FACTS).exists():
        return None
    begun = from_values(stored_settings(folder), where=str(folder / SETTINGS))
    sized = [name for name, one in analyses().items() if len(one.sizes) > 1 and name not in given]
    sizes = {name: begun.analyses[name] for name in sized}
    return begun if replace(settings, analyses={**settings.analyses, **sizes}) == begun else None


def _ladder(plan: StudyPlan, analysis: Analysis) -> list[Bought]:
    """Return every size of an analysis with its estimated time, in rising order."""
    sizes = analysis.sizes if analysis.sizes[0].values is None else (AnalysisSize(None, LEFT_OUT), *analysis.sizes)
    return [Bought(analysis.name, size, _seconds_of(plan, analysis, size)) for size in sizes]


def _enlarged(ladders: Mapping[str, Sequence[Bought]], seconds: float) -> dict[str, int]:
    """Return the index of the size for each analysis within the given seconds."""
    chosen = dict.fromkeys(ladders, 0)
    left = seconds
    while True:
        gains = {name: _gain(ladders[name], at, left) for name, at in chosen.items()}
        best = max(gains, key=lambda name: gains[name], default=None)
        if best is None or gains[best] <= 0:
            return chosen
        left -= ladders[best][chosen[best] + 1].seconds - ladders[best][chosen[best]].seconds
        chosen[best] += 1


def _gain(ladder: Sequence[Bought], at: int, left: float) -> float:
    """Return the gain in precision per second of the next size, or 0 if there is none or it does not fit."""
    if at + 1 == len(ladder):
        return 0.0
    more = ladder[at + 1].seconds - ladder[at].seconds
    narrower = math.log(ladder[at].size.half_width / ladder[at + 1].size.half_width)
    return narrower / max(more, 1e-9) if more <= left else 0.0


def _seconds(plan: StudyPlan, name: str) -> float | None:
    """Return the planned seconds of an analysis over all collections, or None if it is not measured."""
    planned = [step.planned.seconds for step in plan.steps if step.planned and step.analysis.name == name]
    return sum(planned) if planned else None


def _seconds_of(plan: StudyPlan, analysis: Analysis, size: AnalysisSize) -> float:
    """Estimate the seconds of an analysis at a size, over all collections."""
    if size.values is None:
        return 0.0
    settings = _resized(plan.settings, analysis, size)
    steps = [step for step in plan.steps if step.planned and step.analysis.name == analysis.name]
    return sum(step.instrument.plan(step.context, settings).seconds for step in steps)


def _resized(settings: StudySettings, analysis: Analysis, size: AnalysisSize) -> Any:
    """Return the settings of an analysis at a size, or None if that size leaves it out."""
    if size.values is None:
        return None
    kind = analysis.settings()
    current = settings_of(settings, analysis)
    return read_as(kind, merged(plain(kind() if current is None else current), size.values), analysis.name)
