"""Names of the files in a study's folder, and readers of `study.json` and `settings.yaml`."""

from pathlib import Path
from typing import Any

from retroscope.analyses.weights import DIFF as DIFF
from retroscope.files.checksums import read_checked
from retroscope.files.documents import read_document
from retroscope.inputs.settings_files import yaml_values

FACTS, SETTINGS, SUMMARY, MEASURED, PAGE = "study.json", "settings.yaml", "summary.json", "measured", "report.html"
PARTS = "parts"  # field of study.json: what identifies the settings and every measurement
GRID = "grid.json"  # of a training ablation
SET = "studies.json"  # names the studies of a folder that holds several
REPORTED = ("tables", "figures")  # folders that every report replaces as a whole
WRITTEN = (MEASURED, *REPORTED)  # folders that every study replaces as a whole
RESTORE = "restore this file or folder from a copy, or repeat the command that made the study, with --overwrite"


def stored_facts(folder: Path) -> dict[str, Any]:
    """Read `study.json` of a study's folder: models, collections, caveats, versions and times.

    Raises:
        DamageError: if the file is damaged.
        AnalysisError: if another version of Retroscope wrote it, with another schema.
    """
    return read_document(folder / FACTS, RESTORE)


def stored_settings(folder: Path) -> dict[str, Any]:
    """Read the settings of a stored study, without checking them.

    Raises:
        DamageError: if `settings.yaml` is damaged.
    """
    return yaml_values(read_checked(folder / SETTINGS, RESTORE).decode(), folder / SETTINGS)


def studies_in(folder: Path) -> list[str]:
    """Return the sorted names of the subfolders that hold a study, or [] if the folder does not exist."""
    return sorted(place.name for place in folder.iterdir() if (place / FACTS).exists()) if folder.is_dir() else []
