"""From options, settings file and assignments to one settings object."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from retroscope.study.protocols import under_protocol
from retroscope.study.settings import Kind, StudySettings, assigned, changed, from_plain, from_yaml, merged, read_as


def resolve(
    given: Mapping[str, object],
    settings_file: Path | None,
    assignments: Sequence[str] | None,
    *,
    unless_said: Mapping[str, object] | None = None,
) -> StudySettings:
    """The settings: the file, then the options that were given, then `--set`, over the protocol's defaults.

    Args:
        given: dotted setting -> value of its option; None where the option was not given.
        settings_file: YAML.
        assignments: of `--set`.
        unless_said: dotted setting -> the command's own default, below the file.
    """
    values = _assigned({}, unless_said or {})
    values = merged(values, from_yaml(settings_file) if settings_file else {})
    values = _assigned(values, given)
    where = str(settings_file) if settings_file else "settings"
    return from_plain(under_protocol(changed(values, assignments or ())), where=where)


def resolve_as(
    kind: type[Kind], given: Mapping[str, object], settings_file: Path | None, assignments: Sequence[str] | None
) -> Kind:
    """As `resolve`, for settings of another kind, which know no protocols."""
    values = _assigned(from_yaml(settings_file) if settings_file else {}, given)
    return read_as(kind, changed(values, assignments or ()), str(settings_file) if settings_file else "settings")


def _assigned(values: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
    result = dict(values)
    for name, value in given.items():
        if value is not None and value != {}:
            result = assigned(result, name.split("."), value)
    return result
