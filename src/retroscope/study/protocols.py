"""Protocols by name: what each sets, unless the user says otherwise."""

from collections.abc import Mapping
from typing import Any

from retroscope.errors import unknown_name
from retroscope.study.settings import StudySettings, merged, plain

Values = Mapping[str, Any]

PROTOCOLS: dict[str, dict[str, Any]] = {
    "default": {"probing": {"protocol": "default"}},
    # arXiv 2505.07166: padded to the maximum, the concat probe, the norm's
    # 20-point rule over batches in the order given, unpaired t-tests under Bonferroni.
    "ielab-2025": {
        "extraction": {"norm_each_layer": False},
        "probing": {"protocol": "ielab-2025"},
        "neurons": {
            "target": "norm",
            "quadrature": "ielab-20",
            "thresholds": [0.01, 0.1],
            "batch_size": 4,
        },
        "statistics": {"test": "unpaired_t", "correction": "bonferroni"},
    },
}


def under_protocol(values: Values) -> dict[str, Any]:
    """The values with their protocol's settings wherever they name none of their own."""
    name = values.get("protocol", "default")
    if str(name) not in PROTOCOLS:
        raise unknown_name("protocol", str(name), PROTOCOLS)
    under = merged({"protocol": name, **PROTOCOLS[name]}, values)
    for side in ("before", "after"):
        if isinstance(under.get(side), Mapping):
            under[side] = merged({"load": {"protocol": name}}, under[side])
    return under


def departures(settings: StudySettings) -> list[str]:
    """Settings that are not what the protocol of that name sets, in words: numbers under a name that is not theirs."""
    sides = {side: {"load": {"protocol": settings.protocol}} for side in ("before", "after") if getattr(settings, side)}
    own = _flat(plain(settings))
    return [
        f"protocol {settings.protocol!r} sets {name} to {value!r}, but it is {own[name]!r}"
        for name, value in _flat({**PROTOCOLS[settings.protocol], **sides}).items()
        if name in own and own[name] != value  # of an analysis that is switched off, nothing departs
    ]


def _flat(values: Values, prefix: str = "") -> dict[str, Any]:
    """Dotted name -> value."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found
