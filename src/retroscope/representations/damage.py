"""Damage of a vector store: which of its files are not what was written."""

from pathlib import Path

from retroscope.errors import RepresentationError
from retroscope.representations.store import VectorStore, open_store


def damaged_files(folder: Path) -> list[Path]:
    """Return the files of a store that are damaged, and of a finished one those that are missing.

    Every chunk is read and compared with its CRC-32C. Where what describes the arrays is damaged, all files that do are
    returned: the others cannot be read without them.
    """
    try:
        store = open_store(folder)
    except RepresentationError:
        return sorted(folder.rglob("zarr.json"))
    return [folder / file for start in store.shard_starts() for file in _of_shard(store, folder, start)]


def _of_shard(store: VectorStore, folder: Path, start: int) -> list[str]:
    return [file for file, sound in store.sound_files(start) if not sound and (store.complete or (folder / file).exists())]
