"""Settings for `--depth` (one of three sample sizes for every analysis) and `--precision`. No torch."""

from collections.abc import Mapping
from typing import Any

from retroscope.analyses import analyses
from retroscope.analyses.analysis import DEPTHS, STANDARD
from retroscope.errors import unknown_name


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


def precision_settings() -> dict[str, list[str]]:
    """Map each analysis with settings that `--precision` sets to the dotted names of these settings."""
    return {
        name: [f"{name}.{setting}" for setting in analysis.precisions]
        for name, analysis in analyses().items()
        if analysis.precisions
    }


def with_precision(values: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """Return the settings of `depth_values` with a precision for every analysis that is not left out."""
    names = [
        name for analysis, of in precision_settings().items() if values.get(analysis, {}) is not None for name in of
    ]
    return {**values, **dict.fromkeys(names, precision)}
