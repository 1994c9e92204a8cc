"""Verify, repair, clean and shrink a cache. A later run computes removed entries again."""

import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from retroscope.files.cache_records import RECORD, record_of
from retroscope.files.partials import PARTIAL, remove_abandoned
from retroscope.files.reading import PathLike, path_of
from retroscope.files.whole import remove_whole
from retroscope.progress import Progress
from retroscope.study.cache.entries import cache_entries

MAKING = 86_400.0  # seconds: a younger record without an entry may belong to an entry that a run is making


@dataclass(frozen=True)
class Removed:
    """Files that were removed from a cache, with their size, and entries that were kept because a run uses them.

    Attributes:
        paths: the removed files and folders.
        size: how many bytes were freed.
        busy: entries that were kept, because a run was writing them.
    """

    paths: tuple[Path, ...] = ()
    size: int = 0
    busy: tuple[Path, ...] = ()

    def __add__(self, other: "Removed") -> "Removed":
        """Return the paths of both removals together, with the sum of the freed bytes."""
        return Removed(self.paths + other.paths, self.size + other.size, self.busy + other.busy)


def verify_cache(cache: PathLike, progress: Progress | None = None) -> list[Path]:
    """Return the files of a cache with a wrong checksum. Every file of the cache is read."""
    entries = cache_entries(cache)
    damaged: list[Path] = []
    for number, entry in enumerate(entries):
        if progress:
            progress("entries verified", number, len(entries))
        damaged += [] if entry.is_outdated else entry.damages()
    if progress and entries:
        progress("entries verified", len(entries), len(entries))
    return damaged


def repair_cache(cache: PathLike, progress: Progress | None = None) -> Removed:
    """Remove the damaged files of a cache, and return what was removed.

    The next run that needs these files computes them again, with the same bytes.
    """
    return _remove(verify_cache(cache, progress))


def clean_cache(cache: PathLike) -> Removed:
    """Remove cache files that no run can use, and return what was removed.

    They are half-written files of killed runs, and entries of other versions of the software.
    """
    folder = path_of(cache)
    outdated = [entry.path for entry in cache_entries(folder) if entry.is_outdated]
    lost_records = [record for record in folder.rglob(f"*{RECORD}") if _is_lost(record)]
    return _abandoned(folder) + _remove([*outdated, *_leftovers(folder), *lost_records])


def shrink_cache(cache: PathLike, size: int) -> Removed:
    """Remove the least recently used entries until the cache has at most `size` bytes."""
    entries = sorted(cache_entries(cache), key=lambda entry: entry.used)
    excess, removed = sum(entry.size for entry in entries) - size, list[Path]()
    for entry in entries:
        if excess <= 0:
            break
        removed.append(entry.path)
        excess -= entry.size
    return _remove(removed)


def _entry_of(record: Path) -> Path:
    return record.with_name(record.name.removesuffix(RECORD))


def _is_lost(record: Path) -> bool:
    """Return whether a record describes a cache entry that does not exist and is not being written by a run."""
    return not _entry_of(record).exists() and time.time() - record.stat().st_mtime > MAKING


def _abandoned(cache: Path) -> Removed:
    """Remove partial files and folders of runs that have ended."""
    folders = (cache, *cache.glob("*/"), *cache.glob("*/*/"))
    sizes = {path: _size(path) for folder in folders for path in folder.glob(f".*{PARTIAL}")}
    gone = remove_abandoned(*folders)
    return Removed(tuple(gone), sum(sizes.get(path, 0) for path in gone))


def _leftovers(cache: Path) -> Iterable[Path]:
    """Yield what killed runs left behind: unfinished stores, partial files inside stores, and unused locks."""
    for pattern in ("*.zarr.*", "*.zarr/**/*.partial", ".*.lock", "*.lock"):
        yield from (path for path in cache.glob(pattern) if not _is_elsewhere(path, cache))


def _is_elsewhere(path: Path, cache: Path) -> bool:
    """Return whether a file is a record, or a partial file directly in the cache: other functions remove these."""
    return path.name.endswith(RECORD) or (path.name.endswith(PARTIAL) and path.parent == cache)


def _remove(paths: Iterable[Path]) -> Removed:
    """Remove files and folders with their records, except those that a run is writing."""
    gone, busy, size = list[Path](), list[Path](), 0
    for path in dict.fromkeys(paths):
        with suppress(FileNotFoundError):
            freed = _size(path)
            if _removed(path):
                gone.append(path)
                size += freed
            else:
                busy.append(path)
    return Removed(tuple(gone), size, tuple(busy))


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _removed(path: Path) -> bool:
    """Remove a file or folder and its record. If a run holds its lock, return False and remove nothing."""
    with ExitStack() as held:
        try:
            for lock in _locks(path):
                held.enter_context(FileLock(lock, timeout=0))
        except Timeout:
            return False
        remove_whole(path) if path.is_dir() else path.unlink()
        record_of(path).unlink(missing_ok=True)
    return True


def _locks(path: Path) -> list[Path]:
    """Return the lock files that a run holds while it writes to an entry."""
    inside = [parent for parent in (path, *path.parents) if parent.suffix == ".zarr"]
    own = [path] if path.suffix == ".lock" else [path.with_suffix(".lock")]
    return [lock for lock in (*own, *(store.with_name(f".{store.name}.lock") for store in inside)) if lock.exists()]
