"""Names of the files in a study's folder, and readers of `study.json` and `settings.yaml`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retroscope.analyses.weights import DIFF as DIFF
from retroscope.errors import DamageError
from retroscope.files.checksums import read_checked
from retroscope.files.documents import read_document
from retroscope.inputs.settings_files import yaml_values

FACTS, SETTINGS, SUMMARY, MEASURED, PAGE = "study.json", "settings.yaml", "summary.json", "measured", "report.html"
PARTS = "parts"  # field of study.json: what identifies the settings and every measurement
GRID = "grid.json"  # of a training ablation
SET = "studies.json"  # names the studies of a folder that holds several
REPORTED = ("tables", "figures")  # folders that every report replaces as a whole
WRITTEN = (MEASURED, *REPORTED)  # folders that every study replaces as a whole
FIELDS: Mapping[str, type | tuple[type, ...]] = {  # of study.json, with their JSON types
    "title": str, "models": dict, "trainings": int, "collections": list, "caveats": list, "command": str,
    "versions": dict, "timings": dict, "measured": dict, PARTS: dict,
}  # fmt: skip
RESTORE = "restore this file or folder from a copy, or repeat the command that made the study, with --overwrite"


def stored_facts(folder: Path) -> dict[str, Any]:
    """Read `study.json` of a study's folder: models, collections, caveats, versions and times.

    Raises:
        DamageError: if the file is damaged, or is no `study.json`.
        AnalysisError: if another version of Retroscope wrote it, with another schema.
    """
    facts = read_document(folder / FACTS, RESTORE)
    wrong = [name for name, kind in FIELDS.items() if not isinstance(facts.get(name, facts), kind)]
    lacking = [name for name in FIELDS if name not in facts and name != PARTS]
    counts = facts["measured"].values() if "measured" not in [*wrong, *lacking] else ()
    if wrong or lacking or not facts["models"] or not all(isinstance(count, int) for count in counts):
        raise DamageError(
            f"this is no valid {FACTS}: wrong or missing fields: {', '.join([*wrong, *lacking]) or 'models, measured'}",
            where=str(folder / FACTS),
            fix=RESTORE,
        )
    return facts


def stored_settings(folder: Path) -> dict[str, Any]:
    """Read the settings of a stored study, without checking them.

    Raises:
        DamageError: if `settings.yaml` is damaged.
    """
    return yaml_values(read_checked(folder / SETTINGS, RESTORE).decode(), folder / SETTINGS)


def studies_in(folder: Path) -> list[str]:
    """Return the sorted names of the subfolders that hold a study, or [] if the folder does not exist."""
    return sorted(place.name for place in folder.iterdir() if (place / FACTS).exists()) if folder.is_dir() else []
