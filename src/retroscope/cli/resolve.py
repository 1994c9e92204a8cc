"""From options, settings file and assignments to one settings object."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from retroscope.study.protocols import under_protocol
from retroscope.study.settings import StudySettings, assigned, changed, from_plain, from_yaml


def resolve(
    given: Mapping[str, object], settings_file: Path | None, assignments: Sequence[str] | None
) -> StudySettings:
    """The settings: the file, then the options that were given, then `--set`, over the protocol's defaults.

    Args:
        given: dotted setting -> value of its option; None where the option was not given.
        settings_file: YAML.
        assignments: of `--set`.
    """
    values = from_yaml(settings_file) if settings_file else {}
    for name, value in given.items():
        if value is not None and value != {}:
            values = assigned(values, name.split("."), value)
    where = str(settings_file) if settings_file else "settings"
    return from_plain(under_protocol(changed(values, assignments or ())), where=where)
