"""What a study never replaces: files that no study wrote, and another study. No torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retroscope.errors import SettingsError
from retroscope.files import refuse_foreign, refuse_other_report
from retroscope.study.folder import FACTS, SETTINGS, WRITTEN, stored_facts, stored_settings
from retroscope.typesetting.subject import CollectionRecord, ModelFacts


def refuse_foreign_files(folder: Path) -> None:
    """Refuse to replace files of a study's names that no study wrote.

    Raises:
        SettingsError: that names the file or folder.
    """
    refuse_other_report(folder, SETTINGS)
    for name in WRITTEN:
        refuse_foreign(folder / name)


def refuse_other_study(folder: Path, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Refuse to replace a study of other models, collections or settings.

    Args:
        folder: that a study is to be written to.
        settings, facts: of that study, JSON-like.

    Raises:
        SettingsError: if `folder` holds one.
        AnalysisError: if it holds one of another schema.
        DamageError: if it holds one that is damaged.
    """
    if not (folder / FACTS).exists():
        return
    there, here = _made_of(stored_facts(folder)), _made_of(facts)
    for kind in there:
        if there[kind] != here[kind]:
            raise replaced(folder, f"other {kind}")
    if stored_settings(folder) != settings:
        raise replaced(folder, "other settings")


def _made_of(facts: Mapping[str, Any]) -> dict[str, object]:
    """Return names and fingerprints of the models and of the collections of a study."""
    models: Mapping[str, ModelFacts] = facts["models"]
    collections: Sequence[CollectionRecord] = facts["collections"]
    return {
        "models": {
            side: (one["name"], one["similarity"], [tower["fingerprint"] for tower in one["towers"]])
            for side, one in models.items()
        },
        "collections": [(one["name"], one.get("fingerprint", "")) for one in collections],
    }


def replaced(folder: Path, what: str) -> SettingsError:
    """Return the error for a folder whose study would be replaced; `what` tells that study from the new one."""
    title = stored_facts(folder)["title"]
    return SettingsError(
        f"this folder holds a study with {what} ({title})",
        where=str(folder),
        fix="name another folder, or overwrite it (--overwrite, overwrite=True)",
    )
