"""Settings for `--depth` (one of three sample sizes for every analysis) and `--precision`. No torch."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from retroscope.analyses import analyses
from retroscope.analyses.analysis import DEPTHS, STANDARD
from retroscope.errors import SettingsError, unknown_name
from retroscope.inputs.settings import StudySettings
from retroscope.inputs.settings_files import assigned, flattened, plain, read_as
from retroscope.study.settings import settings_of


def depth_values(depth: str) -> dict[str, Any]:
    """Map each analysis that `--depth` changes to its new settings, or to None if this depth leaves it out.

    No depth switches on an analysis that is measured on request only.

    Raises:
        SettingsError: if there is no such depth.
    """
    if depth not in DEPTHS:
        raise unknown_name("depth", depth, DEPTHS)
    at = {"glance": 0, "thorough": -1}
    sizes = {
        name: STANDARD if depth == "standard" else analysis.sizes[at[depth]]
        for name, analysis in analyses().items()
        if not analysis.on_request
    }
    return {name: size.values for name, size in sizes.items() if size.values != {}}


def with_precision(settings: StudySettings, precision: str, fixed: Collection[str] = ()) -> StudySettings:
    """Return the settings of a study whose interventions run in a precision (`Analysis.precisions`).

    No analysis is switched on.

    Args:
        fixed: dotted names of settings that keep their value, e.g. "transplants.precision".

    Raises:
        SettingsError: if no measured intervention then runs in this precision.
    """
    able = [analysis for analysis in analyses().values() if analysis.precisions]
    measured = {analysis.name: own for analysis in able if (own := settings_of(settings, analysis)) is not None}
    changed, reached = dict(settings.analyses), False
    for name, own in measured.items():
        values = plain(own)
        for setting in analyses()[name].precisions:
            there = setting in flattened(values)  # else this part of the analysis is left out
            if there and f"{name}.{setting}" not in fixed:
                values = assigned(values, setting.split("."), precision)
            reached = reached or flattened(values).get(setting) == precision
        changed[name] = read_as(type(own), values, name)
    if not reached:
        raise SettingsError(
            f"--precision {precision} has no effect: no intervention of {', '.join(a.name for a in able)} runs in it",
            fix="leave out --precision, or the options and settings that leave these analyses out or override it",
        )
    return replace(settings, analyses=changed)
