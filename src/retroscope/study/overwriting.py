"""Refuse to overwrite files that Retroscope did not write, or another study. No torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from retroscope.errors import SettingsError
from retroscope.files.documents import as_json, read_document
from retroscope.files.whole import refuse_other_report
from retroscope.study.folder import FACTS, REPORTED, SETTINGS, SUMMARY, WRITTEN, stored_facts, stored_settings
from retroscope.typesetting.subject import StudyFacts

ANOTHER_FOLDER = "give another output folder"
OR_OVERWRITE = f"{ANOTHER_FOLDER}, or overwrite the study (--overwrite, overwrite=True)"


def refuse_foreign_files(folder: Path) -> None:
    """Refuse to overwrite files that have the names of a study's files, but were not written by a study.

    Raises:
        SettingsError: if there are such files. The message names one of them.
    """
    refuse_other_report(folder, SETTINGS, WRITTEN)


def refuse_other_study(folder: Path, settings: Mapping[str, Any], facts: StudyFacts, fix: str = OR_OVERWRITE) -> None:
    """Refuse to replace a study of other models, collections or settings.

    Args:
        folder: folder that a study is to be written to.
        settings: settings of the study to be written, JSON-like.
        facts: facts of the study to be written.
        fix: what the error tells the user to do.

    Raises:
        SettingsError: if `folder` holds a study of other models, collections or settings.
        AnalysisError: if the study in `folder` was written with another schema.
        DamageError: if the study in `folder` is damaged.
    """
    if not (folder / FACTS).exists():
        return
    there, here = _made_of(cast(StudyFacts, stored_facts(folder))), _made_of(facts)
    for kind in there:
        if there[kind] != here[kind]:
            raise replaced(folder, f"other {kind}", fix)
    if stored_settings(folder) != settings:
        raise replaced(folder, "other settings", fix)


def refuse_report_of_another(folder: Path, summary: Mapping[str, Any]) -> None:
    """Refuse to overwrite a report whose `summary.json` has another title, other collections or other settings.

    Args:
        folder: folder that a report is to be written to.
        summary: content of `summary.json` of the report to be written.

    Raises:
        SettingsError: if `folder` holds such a report, or files that no report wrote.
        AnalysisError: if the report in `folder` was written with another schema.
    """
    refuse_other_report(folder, SUMMARY, REPORTED)
    if not (folder / SUMMARY).exists():
        return
    there, here = read_document(folder / SUMMARY), json.loads(as_json(summary))
    if any(there[name] != here[name] for name in ("title", "collections", "settings")):
        raise SettingsError(
            f"the output folder already holds the report of another study, {there['title']!r}",
            where=str(folder),
            fix=ANOTHER_FOLDER,
        )


def _made_of(facts: StudyFacts) -> dict[str, object]:
    """Return what identifies the models and collections of a study: names, similarities and fingerprints."""
    return {
        "models": {
            side: (model["name"], model["similarity"], [tower["fingerprint"] for tower in model["towers"]])
            for side, model in facts["models"].items()
        },
        "collections": [(record["name"], record.get("fingerprint", "")) for record in facts["collections"]],
    }


def replaced(folder: Path, what: str, fix: str = OR_OVERWRITE, details: str = "") -> SettingsError:
    """Return the error for a folder whose study would be overwritten. `what` is its difference, e.g. "other models"."""
    title = stored_facts(folder)["title"]
    return SettingsError(
        f"the output folder already holds the study {title!r}, which has {what} than the new study{details}",
        where=str(folder),
        fix=fix,
    )
