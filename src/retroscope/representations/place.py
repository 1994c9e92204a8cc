"""Check the folder for a vector store: it must be empty, or have a vector store and no other files."""

import json
from contextlib import suppress
from pathlib import Path

from retroscope.errors import RepresentationError

GROUP, ARRAYS = "zarr.json", ("vectors", "final")


def is_free(folder: Path) -> bool:
    """Return whether a new vector store can be created at this path: the folder is empty or does not exist."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def refuse_other_files(folder: Path) -> None:
    """Check that a folder is empty, does not exist, or is a vector store.

    Raises:
        RepresentationError: if it has other files.
    """
    if not is_free(folder) and not _is_store(folder):
        raise RepresentationError(
            "this folder holds files that do not belong to a vector store", where=str(folder), fix="give another folder"
        )


def _is_store(folder: Path) -> bool:
    """Return whether a folder is a vector store, intact or damaged: its metadata have a key, or it has both arrays."""
    try:
        return "key" in json.loads((folder / GROUP).read_text(encoding="utf-8"))["attributes"]
    except (OSError, ValueError, LookupError, TypeError):
        return all((folder / name / GROUP).is_file() for name in ARRAYS)


def remove_unfinished(folder: Path) -> None:
    """Remove partial files that killed runs left in a store."""
    for partial in folder.rglob("*.partial"):
        with suppress(OSError):
            partial.unlink()
