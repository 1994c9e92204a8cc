"""Partial files and folders: files that are being written, and remains of killed runs, which are removed.

A file is written under a temporary name in its folder, and renamed when it is complete. Its writer holds a lock on it.
The operating system releases the lock when the writer's process ends. A partial file without a lock was therefore left
by a killed run, and another run may remove it.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial"  # end of the names of what is being written; they begin with a dot and the name of its place
OWNER = "owner"  # file in a partial folder that its writer locks
REPLACED = "old"  # folder in it that stood in the place of the new one, and stands there again if that was not made
REMOVED = "removed"  # folder in it that is to go


@contextmanager
def in_use(file: BinaryIO) -> Iterator[None]:
    """Lock an open file, if the system supports it. The lock is released when the file is closed."""
    _lock(file)
    yield  # closing the file releases it


@contextmanager
def new_beside(path: Path) -> Iterator[Path]:
    """Make a temporary folder in the parent folder of `path`, and yield it. It is removed when the context closes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL))
    try:
        with (beside / OWNER).open("wb") as file, in_use(file):
            yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_abandoned(*folders: Path, name: str = "*") -> list[Path]:
    """Remove partial files and folders that killed runs left in these folders, and return their paths.

    Those that a running process still writes are not removed. If a killed run had moved a folder away to replace it,
    that folder is moved back.

    Args:
        name: glob pattern of the final name of the partial files or folders to remove.
    """
    removed = []
    for partial in (path for folder in folders for path in folder.glob(f".{name}.????????{PARTIAL}")):
        with suppress(OSError):  # what cannot be removed, or is gone by now, harms nobody
            _remove_one(partial)
            if not partial.exists():
                removed.append(partial)
    return removed


def _remove_one(partial: Path) -> None:
    """Remove a partial file or folder, unless the process that writes it is still running."""
    if not partial.is_dir():
        with partial.open("rb+") as file:
            if _lock(file):
                partial.unlink()
    elif not (partial / OWNER).exists():  # its writer was stopped at the first step or at the last one
        shutil.rmtree(partial)
    else:
        with (partial / OWNER).open("rb+") as file:
            if _lock(file):
                _put_back(partial)
                shutil.rmtree(partial)


def _put_back(partial: Path) -> None:
    """Move a folder back that a killed run was replacing, if no new folder has its place yet."""
    place = partial.with_name(partial.name[1 : -len(f".????????{PARTIAL}")])
    if (partial / REPLACED).exists() and not place.exists():
        (partial / REPLACED).rename(place)


if sys.platform == "win32":

    def _lock(file: BinaryIO) -> bool:
        """Return False, because this system has no such locks. Therefore no partial file is removed as abandoned."""
        return False

else:
    import fcntl

    def _lock(file: BinaryIO) -> bool:
        """Lock an open file until it is closed. Return False if another process holds the lock."""
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # locked, or on a file system without locks: then nothing is taken for abandoned
            return False
        return True
