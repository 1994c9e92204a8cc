"""Partial files and folders: they are written beside their final place, and removed after killed runs.

A writer holds a lock on its partial file as long as it lives, so that another run of the same folder can tell what is
in use from what a killed run left. The system releases the lock of a process that is gone, whatever ended it.
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
    """Hold a lock on an open file while the context is open, if the system supports it."""
    _lock(file)
    yield  # closing the file releases it


@contextmanager
def new_beside(path: Path) -> Iterator[Path]:
    """Make a folder beside `path` to prepare its replacement. The folder is removed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL))
    try:
        with (beside / OWNER).open("wb") as file, in_use(file):
            yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_abandoned(*folders: Path, name: str = "*") -> list[Path]:
    """Remove and return partial files and folders that killed runs left in these folders, except those in use.

    If such a run had moved a folder away to replace it, the folder is moved back.

    Args:
        name: pattern of the files or folders beside which partial ones are looked for.
    """
    removed = []
    for partial in (found for folder in folders for found in folder.glob(f".{name}.????????{PARTIAL}")):
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
    """Move a folder back that was about to be replaced, if its place is still empty."""
    place = partial.with_name(partial.name[1 : -len(f".????????{PARTIAL}")])
    if (partial / REPLACED).exists() and not place.exists():
        (partial / REPLACED).rename(place)


if sys.platform == "win32":

    def _lock(file: BinaryIO) -> bool:
        """Return False, because this system has no such locks, so that nothing counts as abandoned."""
        return False

else:
    import fcntl

    def _lock(file: BinaryIO) -> bool:
        """Lock an open file until it is closed, and return whether nobody else holds the lock."""
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # locked, or on a file system without locks: then nothing is taken for abandoned
            return False
        return True
