"""Choose the sample sizes of all analyses so that a study fits into a time (`--time`).

The chosen sizes become ordinary settings, so the same `settings.yaml` gives the same numbers on any machine. Only the
choice by time depends on the speed of the machine.
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
from retroscope.inputs.settings_files import assigned, flattened, merged, plain, read_as
from retroscope.number_format import estimate
from retroscope.study.folder import FACTS, SETTINGS, stored_settings
from retroscope.study.planning.plan import StudyPlan
from retroscope.study.settings import from_values, settings_of

DEAR = 10  # an error names the stages that take at least 1/DEAR of the time


@dataclass(frozen=True)
class Bought:
    """One sample size of an analysis, with the time that the analysis is estimated to take.

    Attributes:
        seconds: estimated seconds of the analysis with this size.
    """

    analysis: str
    size: AnalysisSize
    seconds: float

    def line(self) -> str:
        """Return a line with the estimated time, and how wide intervals are compared with the default size."""
        if self.size.values is None:
            return f"  {self.analysis}: left out, since even its smallest size does not fit"
        width = f"intervals about {self.size.half_width:.2g} times as wide as with the default size"
        return f"  {self.analysis}: about {estimate(self.seconds)}; {width}"


@dataclass(frozen=True)
class Fitted:
    """Settings with which a study fits into a time of `seconds`, and the chosen sample size of each analysis."""

    settings: StudySettings
    bought: tuple[Bought, ...]
    seconds: float

    def lines(self) -> list[str]:
        """Return a heading, then a line for the chosen size of each analysis."""
        largest = math.isinf(self.seconds)
        heading = "the largest sample sizes:" if largest else f"sample sizes that fit into {estimate(self.seconds)}:"
        return [heading, *(size.line() for size in self.bought)]


def fit(plan: StudyPlan, seconds: float, given: Collection[str] = ()) -> Fitted:
    """Choose the sizes of all analyses so that the study is estimated to take at most `seconds`.

    All analyses begin with their smallest size. Then, repeatedly, the analysis with the largest gain per second gets
    its next size. The gain is the decrease of the logarithm of the half-width of its intervals. Of two analyses with
    equal gains, the one that is measured first is enlarged.

    Args:
        plan: plan of the study, with any sizes.
        given: analyses whose settings the user gave. Their sizes do not change.

    Raises:
        SettingsError: if the stages without a choice of size (e.g. encoding) already take longer.
    """
    ladders = {name: _ladder(plan, analyses()[name]) for name in _sized(plan, given)}
    fixed = fixed_seconds(plan, given)
    if fixed > seconds:
        raise _too_short(plan, seconds, fixed, _sized(plan, given))
    size_indices = _enlarged(ladders, seconds - fixed)
    bought = tuple(ladders[name][index] for name, index in size_indices.items())
    settings = {size.analysis: _resized(plan.settings, analyses()[size.analysis], size.size) for size in bought}
    return Fitted(replace(plan.settings, analyses={**plan.settings.analyses, **settings}), bought, seconds)


def _too_short(plan: StudyPlan, seconds: float, fixed: float, sized: Collection[str]) -> SettingsError:
    """Return the error for a time that is too short. It names the slowest stages, and options that leave them out."""
    parts = {name: spent for name, spent in plan.seconds.items() if name not in sized and spent >= fixed / DEAR}
    dear = sorted(parts, key=lambda name: -parts[name])
    optional = [
        f"{name} ({switch_of(analysis)})"
        for name in dear
        if (analysis := analyses().get(name)) and not analysis.required
    ]
    leave = f", leave out {' and '.join(optional)}" if optional else ""
    return SettingsError(
        f"a time of {estimate(seconds)} is too short: the stages that cannot be shortened take about {estimate(fixed)} "
        f"({', '.join(f'{name} {estimate(parts[name])}' for name in dear)})",
        where="--time",
        fix=f"give more time{leave}, or a collection of fewer passages",
    )


def fixed_seconds(plan: StudyPlan, given: Collection[str] = ()) -> float:
    """Return the estimated seconds of encoding, statistics, and the analyses without a choice of size."""
    return sum(plan.seconds.values()) - sum(_seconds(plan, name) or 0.0 for name in _sized(plan, given))


def _sized(plan: StudyPlan, given: Collection[str]) -> list[str]:
    """Return the planned analyses with several sizes, except those whose settings the user gave."""
    return [name for name, analysis in analyses().items()
            if len(analysis.sizes) > 1 and name not in given and _seconds(plan, name) is not None]  # fmt: skip


def as_stored(settings: StudySettings, folder: Path, given: Collection[str] = ()) -> StudySettings | None:
    """Return the settings of the study in a folder if they differ from `settings` only in sample sizes, or else None.

    Which sizes fit into a time depends on the current speed of the machine, so a repeated study keeps its stored sizes.

    Args:
        given: analyses whose settings the user gave. Their sizes must be equal, too.
    """
    if not (folder / FACTS).exists():
        return None
    begun = from_values(stored_settings(folder), where=str(folder / SETTINGS))
    sized = [analysis for name, analysis in analyses().items() if len(analysis.sizes) > 1 and name not in given]
    sizes = {analysis.name: _stored_size(settings, begun, analysis) for analysis in sized}
    return begun if replace(settings, analyses={**settings.analyses, **sizes}) == begun else None


def _stored_size(settings: StudySettings, begun: StudySettings, analysis: Analysis) -> Any:
    """Return the settings of an analysis with the sample size that a stored study has, or None if it has none."""
    stored = settings_of(begun, analysis)
    if stored is None:
        return None
    sizes = [flattened(size.values or {}) for size in analysis.sizes]
    values, of_size = flattened(plain(stored)), {name for size in sizes for name in size}
    chosen: dict[str, Any] = {}
    for name in of_size & values.keys():
        chosen = assigned(chosen, name.split("."), values[name])
    return _resized(settings, analysis, AnalysisSize(chosen))


def _ladder(plan: StudyPlan, analysis: Analysis) -> list[Bought]:
    """Return every size of an analysis with its estimated time, smallest first. The first may leave it out."""
    sizes = analysis.sizes if analysis.sizes[0].values is None else (AnalysisSize(None, LEFT_OUT), *analysis.sizes)
    return [Bought(analysis.name, size, _seconds_of(plan, analysis, size)) for size in sizes]


def _enlarged(ladders: Mapping[str, Sequence[Bought]], seconds: float) -> dict[str, int]:
    """Map each analysis to the index of its size in `ladders`, chosen so that all together take at most `seconds`."""
    indices = dict.fromkeys(ladders, 0)
    left = seconds
    while True:
        gains = {name: _gain(ladders[name], at, left) for name, at in indices.items()}
        best = max(gains, key=lambda name: gains[name], default=None)
        if best is None or gains[best] <= 0:
            return indices
        left -= ladders[best][indices[best] + 1].seconds - ladders[best][indices[best]].seconds
        indices[best] += 1


def _gain(ladder: Sequence[Bought], at: int, left: float) -> float:
    """Return the gain in precision per second of the next larger size, or 0 if there is none or it does not fit.

    The gain is that of `fit`.
    """
    if at + 1 == len(ladder):
        return 0.0
    more = ladder[at + 1].seconds - ladder[at].seconds
    narrower = math.log(ladder[at].size.half_width / ladder[at + 1].size.half_width)
    return narrower / max(more, 1e-9) if more <= left else 0.0


def _seconds(plan: StudyPlan, name: str) -> float | None:
    """Return the estimated seconds of an analysis on all collections together, or None if it is not measured."""
    planned = [step.planned.seconds for step in plan.steps if step.planned and step.analysis.name == name]
    return sum(planned) if planned else None


def _seconds_of(plan: StudyPlan, analysis: Analysis, size: AnalysisSize) -> float:
    """Return the estimated seconds of an analysis with this size, on all collections together."""
    if size.values is None:
        return 0.0
    settings = _resized(plan.settings, analysis, size)
    steps = [step for step in plan.steps if step.planned and step.analysis.name == analysis.name]
    return sum(step.instrument.plan(step.context, settings).seconds for step in steps)


def _resized(settings: StudySettings, analysis: Analysis, size: AnalysisSize) -> Any:
    """Return the settings of an analysis with this sample size, or None if the size leaves the analysis out."""
    if size.values is None:
        return None
    kind = analysis.settings()
    current = settings_of(settings, analysis)
    return read_as(kind, merged(plain(kind() if current is None else current), size.values), analysis.name)
