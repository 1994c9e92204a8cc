"""Repair a vector store: find damaged windows of texts, and compute them again with the same bytes."""

from collections.abc import Callable, Collection, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from retroscope.engine.ledger import RECORDS
from retroscope.engine.storage import Location, is_url
from retroscope.errors import RepresentationError
from retroscope.files.checksums import damaged, note_remade
from retroscope.representations.damage import ARRAYS, GROUP
from retroscope.representations.store import VectorStore, open_store


def lock_of(folder: Path) -> Path:
    """Return the path of the file that a run locks while it writes to a store."""
    return folder.with_name(f".{folder.name}.lock")


@dataclass(frozen=True, eq=False)
class Remake:
    """A callable that computes damaged windows (ranges of texts) of a store again.

    It receives the position of the first text of each window.

    Attributes:
        place: folder or URL of the store.
        sources: function that returns the earlier windows from which a window copies vectors of repeated texts.
        write: function that computes windows and writes them, in the order of the texts.
    """

    place: Location
    sources: Callable[[int], Iterable[int]]
    write: Callable[[VectorStore, Collection[int]], None]

    def __call__(self, starts: Collection[int]) -> None:
        """Lock the store, recompute the windows in `starts` that are still damaged, and report them to the user."""
        with nullcontext() if is_url(self.place) else FileLock(lock_of(Path(self.place))):
            store = open_store(self.place, "r+")
            damaged_starts = self._with_sources(starts, store)
            for start in sorted(damaged_starts):
                for file in store.unsound_files(start):
                    note_remade(damaged(f"{self.place}/{file}", ""))
            self.write(store, damaged_starts)

    def _with_sources(self, starts: Collection[int], store: VectorStore) -> set[int]:
        """Return the damaged windows among `starts`, and the damaged earlier windows from which they copy vectors."""
        damaged_starts, queue = set[int](), list(starts)
        while queue:
            start = queue.pop()
            if start not in damaged_starts and store.unsound_files(start):
                damaged_starts.add(start)
                queue += self.sources(start)
        return damaged_starts


def is_of_key(folder: Path, key: str) -> bool:
    """Return whether a damaged vector store has this key, by its folder's name or by the metadata that are left."""
    if folder.name == f"{key[:32]}.zarr":
        return True
    files = (folder / GROUP, *(folder / array / GROUP for array in ARRAYS))
    return any(f'"key": "{key}"'.encode() in file.read_bytes() for file in files if file.is_file())


def renew_description(folder: Path, empty: Path) -> None:
    """Replace the metadata of the store in `folder` by those of an empty store of the same plan, in `empty`."""
    for name in (*(f"{array}/{GROUP}" for array in ARRAYS), GROUP):
        (empty / name).replace(folder / name)
    store = open_store(folder, "r+")
    store.group.attrs["done"] = 0 if (folder / RECORDS).exists() else store.vectors.shape[0]


def remake_damaged(store: VectorStore) -> None:
    """Read every window of a store, and compute damaged windows again, if the store can do so."""
    starts = [start for start in store.starts if store.unsound_files(start)]
    if starts and store.remake is not None:
        store.remake(starts)


def damaged_files(folder: Path) -> list[Path]:
    """Return the damaged files of a store and, if the store is finished, the missing ones.

    Every chunk is read and compared with its checksum (CRC-32C). If the metadata are damaged, no chunk can be read, and
    the list has only the file `zarr.json` of the store.
    """
    try:
        store = open_store(folder)
    except RepresentationError:
        return [folder / GROUP]
    files = [folder / file for start in store.starts for file in store.unsound_files(start)]
    return files if store.complete else [file for file in files if file.exists()]
