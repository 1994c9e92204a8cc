"""The place of a vector store on the disk: free, or of such a store; files of anything else are refused."""

import json
import os
from pathlib import Path

from zarr.storage import LocalStore

from retroscope.errors import RepresentationError
from retroscope.representations.store import VectorStore

GROUP, ARRAYS = "zarr.json", ("vectors", "final")


def is_free(folder: Path) -> bool:
    """Return whether a new store can take this place: nothing is there, or an empty folder."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def refuse_other_files(folder: Path) -> None:
    """Refuse a place with files that are not of a vector store.

    Raises:
        RepresentationError: if there are any.
    """
    if not is_free(folder) and not _is_store(folder):
        raise RepresentationError(
            "there are files here that are not of a vector store", where=str(folder), fix="name another folder"
        )


def _is_store(folder: Path) -> bool:
    """Return whether a folder is a vector store, whole or damaged: by its key, else by its two arrays."""
    try:
        return "key" in json.loads((folder / GROUP).read_text(encoding="utf-8"))["attributes"]
    except (OSError, ValueError, LookupError, TypeError):
        return all((folder / name / GROUP).is_file() for name in ARRAYS)


def root_of(store: VectorStore) -> Path:
    """Return the folder of a store."""
    place = store.group.store
    if not isinstance(place, LocalStore):
        raise TypeError("a store in memory has no folder")
    return place.root


def sync_window(store: VectorStore, start: int) -> None:
    """Return when the window that begins at text `start` is on the disk: `done` must never count more than is there."""
    for array in (store.vectors, store.final):
        shard = (start // (array.shards or array.chunks)[0], *(0 for _ in array.shape[1:]))
        with (root_of(store) / array.path / array.metadata.encode_chunk_key(shard)).open("rb+") as file:
            os.fsync(file.fileno())
