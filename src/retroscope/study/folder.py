"""The folder of a study: the names in it, and the refusal to replace a study of something else."""

from pathlib import Path

from retroscope.documents import read_document
from retroscope.errors import SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.inputs.settings_files import from_yaml
from retroscope.study.settings import from_values

FACTS, SETTINGS, SUMMARY, MEASURED = "study.json", "settings.yaml", "summary.json", "measured"
WRITTEN = (MEASURED, "tables", "figures")  # folders that a study replaces as a whole


def refuse_other(folder: Path, settings: StudySettings) -> None:
    """Refuse to replace a finished study of something else; the same one may be made again.

    Raises:
        SettingsError: if `folder` holds a finished study with other settings.
    """
    if not (folder / FACTS).exists():
        return
    file = folder / SETTINGS
    if from_values(from_yaml(file), where=str(file)) == settings:
        return
    title = read_document(folder / FACTS)["title"]
    raise SettingsError(
        f"this folder holds a finished study with other settings ({title})",
        where=str(folder),
        fix="name another --out, or replace it with --overwrite",
    )
