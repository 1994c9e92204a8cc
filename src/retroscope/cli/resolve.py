"""Merge options, settings file and `--set` assignments into one settings object."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retroscope.inputs.settings import StudySettings
from retroscope.inputs.settings_files import Kind, assigned, changed, from_yaml, merged, read_as
from retroscope.study.protocols import study_settings


def resolve(
    given: Mapping[str, object],
    settings_file: Path | None,
    assignments: Sequence[str] | None,
    *,
    unless_given: Mapping[str, object] | None = None,
    left_out: Sequence[str] = (),
) -> StudySettings:
    """Return the settings of a study, merged from a settings file, options and `--set` assignments.

    Settings that none of them gives have the protocol's defaults. The arguments are those of `resolved`.
    """
    values = resolved(given, settings_file, assignments, unless_given=unless_given, left_out=left_out)
    return study_settings(values, where=_where(settings_file))


def resolved(
    given: Mapping[str, object],
    settings_file: Path | None,
    assignments: Sequence[str] | None,
    *,
    unless_given: Mapping[str, object] | None = None,
    left_out: Sequence[str] = (),
) -> dict[str, Any]:
    """Merge the settings file, the options and the `--set` assignments into one dictionary, without checks.

    Options override the settings file, and `--set` overrides both.

    Args:
        given: dotted name of a setting, e.g. "probes.rank" -> value of its option, or None if the option was not given.
        settings_file: YAML file, or None.
        assignments: assignments of `--set`.
        unless_given: dotted name of a setting -> the command's own default, which file and options override. The value
            None leaves an analysis out.
        left_out: analyses, or parts of one ("neurons.ablation"), that are left out whatever file and options say.
    """
    values: dict[str, Any] = {}
    for name, value in (unless_given or {}).items():
        values = assigned(values, name.split("."), value)
    values = merged(values, from_yaml(settings_file) if settings_file else {})
    values = changed(_assigned(values, given), assignments or ())
    for name in left_out:
        values = _without(values, name)
    return values


def resolve_as(
    kind: type[Kind], given: Mapping[str, object], settings_file: Path | None, assignments: Sequence[str] | None
) -> Kind:
    """Merge options, settings file and `--set` assignments into checked settings of the class `kind`."""
    values = _assigned(from_yaml(settings_file) if settings_file else {}, given)
    return read_as(kind, changed(values, assignments or ()), _where(settings_file))


def _where(settings_file: Path | None) -> str:
    return str(settings_file) if settings_file else "settings"


def _assigned(values: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
    result = dict(values)
    for name, value in given.items():
        if value is not None and value != {}:
            result = assigned(result, name.split("."), value)
    return result


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Switch off an analysis ("neurons") or a part of one ("neurons.ablation") by setting it to None."""
    head, dot, rest = name.partition(".")
    return {**values, head: _without(values.get(head) or {}, rest) if dot else None}
