"""The folder of a study: the names in it, and how its parts are replaced."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from retroscope.documents import read_document
from retroscope.errors import SettingsError
from retroscope.files import MARK
from retroscope.scores import Scores
from retroscope.study.settings import StudySettings, from_plain, from_yaml

FACTS, SCORES, SEEDS, SETTINGS, NEURONS = "study.json", "scores.zarr", "seeds.parquet", "settings.yaml", "neurons"
QUERY_NEURONS = "query-neurons"
MOVED, BARE_MOVED = "moved", "moved-bare"
Part = TypeVar("Part")


def replaced(folder: Path, part: Part | None, save: Callable[[Part, Path], None]) -> None:
    """Write a part of a study, or remove what an earlier study left where there is none."""
    if part is not None:
        save(part, folder)
    elif (folder / MARK).exists():
        shutil.rmtree(folder)


def refuse_other(folder: Path, settings: StudySettings) -> None:
    """An error where a finished study of something else would be replaced; the same one may be made again."""
    if not (folder / FACTS).exists() or _same(folder / SETTINGS, settings):
        return
    title = read_document(folder / FACTS)["title"]
    raise SettingsError(
        f"this folder holds a finished study with other settings ({title})",
        where=str(folder),
        fix="name another --out, or replace it with --overwrite",
    )


def _same(file: Path, settings: StudySettings) -> bool:
    """Whether a file holds these settings; what an older file does not name is as it is by default."""
    return from_plain(from_yaml(file), where=str(file)) == settings


def save_scores(scores: Mapping[str, Scores], store: Path) -> None:
    """Write all groups anew, so that none of an earlier study stays beside them."""
    partial = store.with_name(f"{store.name}.partial")
    for old in (partial, store):
        shutil.rmtree(old, ignore_errors=True)
    for name, values in scores.items():
        values.save(partial, name)
    os.replace(partial, store)
