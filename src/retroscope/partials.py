"""What is being written: partial files and folders beside their place, and those that killed runs left.

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


@contextmanager
def in_use(file: BinaryIO) -> Iterator[None]:
    """Hold a lock on an open file, where the system has such locks."""
    _lock(file)
    yield  # closing the file releases it


@contextmanager
def new_beside(path: Path) -> Iterator[Path]:
    """Make a folder beside `path`, to prepare what will take its place; removed with all that is left in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL))
    try:
        with (beside / OWNER).open("wb") as file, in_use(file):
            yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_abandoned(*folders: Path) -> None:
    """Remove the partial files and folders that killed runs left in these folders; those in use stay."""
    for folder in folders:
        for partial in folder.glob(f".*.????????{PARTIAL}"):
            with suppress(OSError):  # what cannot be removed, or is gone by now, harms nobody
                _remove_one(partial)


def _remove_one(partial: Path) -> None:
    """Remove a partial file or folder, unless its writer lives."""
    if not partial.is_dir():
        with partial.open("rb+") as file:
            if _lock(file):
                partial.unlink()
    elif not (partial / OWNER).exists():  # its writer was stopped at the first step or at the last one
        shutil.rmtree(partial)
    else:
        with (partial / OWNER).open("rb+") as file:
            if _lock(file):
                shutil.rmtree(partial)


if sys.platform == "win32":

    def _lock(file: BinaryIO) -> bool:
        """Return False: such locks are unknown, so nothing is taken for abandoned."""
        return False

else:
    import fcntl

    def _lock(file: BinaryIO) -> bool:
        """Lock an open file until it is closed; return whether nobody else holds it."""
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # locked, or on a file system without locks: then nothing is taken for abandoned
            return False
        return True
