"""Protocols by name, each with the settings that it presets and that users may override."""

from collections.abc import Mapping
from typing import Any

from retroscope.encoders.settings import PUBLISHED_PROTOCOL
from retroscope.errors import unknown_name
from retroscope.inputs.settings import StudySettings
from retroscope.inputs.settings_files import flattened, merged
from retroscope.study.settings import as_values, from_values

NestedSettings = Mapping[str, Any]

PROTOCOLS: dict[str, dict[str, Any]] = {
    "default": {"probes": {"protocol": "default"}},
    # arXiv 2505.07166: padded to the maximum, the concat probe, the norm's
    # 20-point rule over batches in the order given, unpaired t-tests under Bonferroni.
    PUBLISHED_PROTOCOL: {
        "random_weights": False,
        "extraction": {"norm_each_layer": False},
        "probes": {"protocol": PUBLISHED_PROTOCOL},
        "neurons": {
            "attribution": {
                "target": "norm",
                "quadrature": "ielab-20",
                "thresholds": [0.01, 0.1],
                "limit": 0,
                "batch_size": 4,
            },
        },
        "statistics": {"test": "unpaired_t", "correction": "bonferroni"},
    },
}


def study_settings(values: NestedSettings | None = None, /, *, where: str = "settings", **named: Any) -> StudySettings:
    """Return the settings of a study. Settings that are not given get the protocol's defaults.

    `StudySettings(protocol="ielab-2025")` sets only this one field; this function sets all fields that the protocol
    sets.

    Args:
        values: nested JSON-like values, as `settings.yaml` holds them.
        where: source of the values, e.g. a file name, which an error names.
        named: the same values as keywords: `study_settings(protocol="ielab-2025", neurons=None)`.

    Raises:
        SettingsError: for an unknown name or a wrong value.
    """
    return from_values(under_protocol(merged(values or {}, named)), where=where)


def under_protocol(values: NestedSettings) -> dict[str, Any]:
    """Add the settings that the protocol presets to the given values. Where both set a field, the given value stays."""
    name = values.get("protocol", "default")
    if str(name) not in PROTOCOLS:
        raise unknown_name("protocol", str(name), PROTOCOLS)
    under = merged({"protocol": name, **PROTOCOLS[name]}, values)
    for side in ("before", "after"):
        under |= {side: _loaded_under(name, under[side])} if side in under else {}
    if isinstance(under.get("trainings"), list | tuple):
        under["trainings"] = [_loaded_under(name, model) for model in under["trainings"]]
    return under


def _loaded_under(name: object, model: object) -> object:
    """Return the settings of a model, with the protocol added to its `load` settings unless they name one."""
    return merged({"load": {"protocol": name}}, model) if isinstance(model, Mapping) else model


def departures(settings: StudySettings) -> list[str]:
    """Return a sentence for each setting that differs from the value that the protocol presets."""
    sides = {side: {"load": {"protocol": settings.protocol}} for side in ("before", "after") if getattr(settings, side)}
    preset, own = flattened({**PROTOCOLS[settings.protocol], **sides}), flattened(as_values(settings))
    for number, training in enumerate(settings.trainings):
        name = f"trainings[{number}].load.protocol"
        preset[name], own[name] = settings.protocol, training.load.protocol
    return [
        f"protocol {settings.protocol!r} sets {name} to {value!r}, but it is {own[name]!r}"
        for name, value in preset.items()
        if name in own and own[name] != value  # of an analysis that is switched off, nothing departs
    ]
