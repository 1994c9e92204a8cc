"""Settings for `--depth`, which names three sizes of every analysis. No torch."""

from typing import Any

from retroscope.analyses import analyses
from retroscope.analyses.analysis import DEPTHS, STANDARD
from retroscope.errors import unknown_name


def depth_values(depth: str) -> dict[str, Any]:
    """Return the settings of each analysis that a depth changes, or None for an analysis that it leaves out.

    No depth switches on an analysis that is measured on request only.

    Raises:
        SettingsError: if there is no such depth.
    """
    if depth not in DEPTHS:
        raise unknown_name("depth", depth, DEPTHS)
    at = {"glance": 0, "thorough": -1}
    sizes = {
        name: STANDARD if depth == "standard" else one.sizes[at[depth]]
        for name, one in analyses().items()
        if not one.on_request
    }
    return {name: size.values for name, size in sizes.items() if size.values != {}}
