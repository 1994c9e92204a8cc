"""Protocols by name: what each sets, unless the user says otherwise."""

from collections.abc import Mapping
from typing import Any

from retroscope.errors import unknown_name

Values = Mapping[str, Any]

PROTOCOLS: dict[str, dict[str, Any]] = {
    "default": {"probing": {"protocol": "default"}},
    # arXiv 2505.07166: padded to the maximum, the concat probe, unpaired t-tests under Bonferroni.
    "ielab-2025": {
        "probing": {"protocol": "ielab-2025"},
        "statistics": {"test": "unpaired_t", "correction": "bonferroni"},
    },
}


def under_protocol(values: Values) -> dict[str, Any]:
    """The values with their protocol's settings wherever they name none of their own."""
    name = values.get("protocol", "default")
    if name not in PROTOCOLS:
        raise unknown_name("protocol", str(name), PROTOCOLS)
    merged = _under(values, {"protocol": name, **PROTOCOLS[name]})
    for side in ("before", "after"):
        if merged.get(side):
            merged[side] = _under(merged[side], {"load": {"protocol": name}})
    return merged


def _under(values: Values, defaults: Values) -> dict[str, Any]:
    """Both, deeply; `values` win."""
    merged = dict(defaults)
    for name, value in values.items():
        below = merged.get(name)
        merged[name] = _under(value, below) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged
