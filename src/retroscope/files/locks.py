"""Lock the folders that runs write to, so that two runs do not overwrite each other's files."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from retroscope.errors import SettingsError

LOCK = ".retroscope.lock"  # in the folder, as long as a run writes to it


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock a folder for this process while the context is open. Nested contexts may lock it again.

    The operating system releases the lock when the process ends, so the lock file of a killed run does not block
    another run.

    Raises:
        SettingsError: if another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout as busy:
        raise SettingsError(
            "another run is writing to this folder",
            where=str(folder),
            fix="wait until that run ends, or give another folder",
        ) from busy
    try:
        yield
    finally:
        if lock.lock_counter == 1:
            with suppress(OSError):  # where an open file cannot be removed
                (folder / LOCK).unlink()
        lock.release()
