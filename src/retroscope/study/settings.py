"""Convert the settings of a study to and from JSON-like values and YAML, and refuse invalid settings."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from retroscope.analyses import analyses
from retroscope.analyses.analysis import Analysis, VectorsRead
from retroscope.errors import SettingsError, excerpt, listed
from retroscope.files.documents import impersonal
from retroscope.inputs.settings import StudySettings
from retroscope.inputs.settings_files import as_yaml, flattened, plain, read_as, unknown_setting
from retroscope.study.folder import FACTS, SETTINGS, stored_facts, stored_settings
from retroscope.study.overwriting import OR_OVERWRITE, replaced

ANALYSES = "analyses"
GO_ON = f"repeat the earlier command to continue that study, {OR_OVERWRITE}"
SHARED = tuple(setting.name for setting in fields(StudySettings) if setting.name != ANALYSES)


def settings_of(settings: StudySettings, analysis: Analysis) -> Any:
    """Return the settings of an analysis (if none are given, its defaults), or None if the analysis is left out."""
    if analysis.on_request and analysis.name not in settings.analyses:
        return None
    return settings.of(analysis.name, analysis.settings())


def check(settings: StudySettings) -> None:
    """Refuse settings of an unknown analysis, or of the wrong class.

    Raises:
        SettingsError: for any such setting.
    """
    known = analyses()
    for name in settings.analyses:
        if name not in known:
            raise unknown_setting(name, "settings", known)
    for analysis in known.values():
        settings_of(settings, analysis)


def certain_analyses(settings: StudySettings) -> list[Analysis]:
    """Return the analyses that are measured with these settings, whatever models and collections the study has."""
    measured = (analysis for analysis in analyses().values() if analysis.instrument and not analysis.optional_input)
    return [analysis for analysis in measured if settings_of(settings, analysis) is not None]


def refuse_left_out(settings: StudySettings) -> None:
    """Refuse a comparison that leaves out a required analysis.

    Raises:
        SettingsError: for the first such analysis.
    """
    for analysis in analyses().values():
        if settings_of(settings, analysis) is None and analysis.required:
            raise SettingsError(
                f"the analysis {analysis.name!r} cannot be left out",
                where=f"{analysis.name}: null",
                fix=f"remove `{analysis.name}: null`",
            )


def refuse_missing_layers(settings: StudySettings, measured: Iterable[Analysis]) -> None:
    """Refuse settings that store only some layers, if a measured analysis reads all layers.

    Raises:
        SettingsError: if there is such an analysis.
    """
    readers = [analysis.name for analysis in measured if analysis.vectors == VectorsRead.LAYERS]
    if readers and settings.extraction.layers is not None:
        layers = ", ".join(map(str, settings.extraction.layers)) or "none (only the final vectors)"
        raise SettingsError(
            f"the layers to store are {layers}, but these analyses need all layers: {', '.join(readers)}",
            where="extraction.layers",
            fix="leave out --store-layers (extraction.layers: null), or leave out these analyses",
        )


def complete(settings: StudySettings) -> StudySettings:
    """Return the settings, with defaults added for every analysis whose settings are not given."""
    check(settings)
    return replace(settings, analyses={name: settings_of(settings, analysis) for name, analysis in analyses().items()})


def as_values(settings: StudySettings) -> dict[str, Any]:
    """Return all settings of a study as JSON-like values, with null for an analysis that is left out."""
    whole = plain(replace(settings, analyses={}))
    del whole[ANALYSES]
    by_analysis = {name: settings_of(settings, analysis) for name, analysis in analyses().items()}
    return whole | {name: None if own is None else plain(own) for name, own in by_analysis.items()}


def to_yaml(settings: StudySettings) -> str:
    """Return all settings of a study as the YAML text of a settings file."""
    return as_yaml(as_values(settings))


def from_values(values: Mapping[str, Any], where: str = "settings") -> StudySettings:
    """Read the settings of a study from JSON-like values.

    Raises:
        SettingsError: for an unknown name or a wrong value.
    """
    known = analyses()
    for name in values:
        if name not in SHARED and name not in known:
            raise unknown_setting(str(name), where, (*SHARED, *known))
    shared = read_as(StudySettings, {name: value for name, value in values.items() if name in SHARED}, where)
    by_analysis = {name: _of(analysis, values[name], where) for name, analysis in known.items() if name in values}
    settings = replace(shared, analyses=by_analysis)
    check(settings)
    return complete(settings)


def _of(analysis: Analysis, value: Any, where: str) -> Any:
    """Read the settings of one analysis from its value: a mapping, or null to leave it out."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise SettingsError(
            f"the settings of the analysis {analysis.name!r} are {excerpt(value)}, not a mapping",
            where=where,
            fix="give a mapping of settings, or null to leave the analysis out",
        )
    return read_as(analysis.settings(), value, f"{where}.{analysis.name}")


def refuse_other_settings(folder: Path, settings: StudySettings) -> None:
    """Refuse to overwrite a study that has other settings. A study with equal settings may be repeated or resumed.

    Raises:
        SettingsError: if `folder` holds a study with other settings.
        AnalysisError: if another version of Retroscope wrote the study, with another schema.
        DamageError: if the study is damaged.
    """
    if not (folder / FACTS).exists():
        return
    stored_facts(folder)
    stored = from_values(stored_settings(folder), where=str(folder / SETTINGS))
    there, here = (flattened(impersonal(as_values(values))) for values in (stored, settings))
    if there != here:
        raise replaced(folder, "other settings", GO_ON, _differences(there, here))


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Return a bulleted text of the settings that differ, with the stored and the new value of each."""
    differences = []
    for name in {**there, **here}:
        if name not in there or name not in here or there[name] != here[name]:
            old, new = (excerpt(values[name]) if name in values else "not set" for values in (there, here))
            differences.append(f"{name}: {old} in the folder, {new} in the new study")
    return listed(differences)
