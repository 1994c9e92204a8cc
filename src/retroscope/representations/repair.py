"""Repair a vector store: compute damaged windows again, with the same bytes."""

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
    """Return the lock file of a store, which its writers lock."""
    return folder.with_name(f".{folder.name}.lock")


@dataclass(frozen=True, eq=False)
class Remake:
    """Repair of a store: computes damaged windows again, given the positions of their first texts.

    Attributes:
        place: folder or URL of the store.
        sources: start of a window -> starts of the earlier windows from which repeated texts are copied.
        write: function that computes and writes the windows with these starts, in order.
    """

    place: Location
    sources: Callable[[int], Iterable[int]]
    write: Callable[[VectorStore, Collection[int]], None]

    def __call__(self, starts: Collection[int]) -> None:
        """Lock the store, compute the windows again that are still damaged, and report this."""
        with nullcontext() if is_url(self.place) else FileLock(lock_of(Path(self.place))):
            store = open_store(self.place, "r+")
            wanted = self._with_sources(starts, store)
            for start in sorted(wanted):
                for file in store.unsound_files(start):
                    note_remade(damaged(f"{self.place}/{file}", ""))
            self.write(store, wanted)

    def _with_sources(self, starts: Collection[int], store: VectorStore) -> set[int]:
        """Return the damaged windows among these, and the damaged windows from which they are copied."""
        wanted, queue = set[int](), list(starts)
        while queue:
            start = queue.pop()
            if start not in wanted and store.unsound_files(start):
                wanted.add(start)
                queue += self.sources(start)
        return wanted


def is_of_key(folder: Path, key: str) -> bool:
    """Return whether a damaged store has this key, as shown by its folder's name or its remaining metadata."""
    if folder.name == f"{key[:32]}.zarr":
        return True
    files = (folder / GROUP, *(folder / array / GROUP for array in ARRAYS))
    return any(f'"key": "{key}"'.encode() in file.read_bytes() for file in files if file.is_file())


def renew_description(folder: Path, empty: Path) -> None:
    """Replace a store's metadata by those of an empty store of the same plan."""
    for name in (*(f"{array}/{GROUP}" for array in ARRAYS), GROUP):
        (empty / name).replace(folder / name)
    store = open_store(folder, "r+")
    store.group.attrs["done"] = 0 if (folder / RECORDS).exists() else store.vectors.shape[0]


def remake_damaged(store: VectorStore) -> None:
    """Read every window of a store, and compute damaged ones again."""
    starts = [start for start in store.starts if store.unsound_files(start)]
    if starts and store.remake is not None:
        store.remake(starts)


def damaged_files(folder: Path) -> list[Path]:
    """Return the damaged files of a store, and the missing ones if it is finished.

    Every chunk is read and compared with its CRC-32C. If the description of the group or of its arrays is damaged, no
    chunk can be read. The list then has only the description of the group.
    """
    try:
        store = open_store(folder)
    except RepresentationError:
        return [folder / GROUP]
    files = [folder / file for start in store.starts for file in store.unsound_files(start)]
    return files if store.complete else [file for file in files if file.exists()]
