"""Write files and folders completely or not at all: first beside their place, then moved to it.

What is being written has a name of its own (`partials`) and is locked by its writer. A killed run leaves it there, and
the next run that writes into the folder removes it (`remove_abandoned`).
"""

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import xxhash

from retroscope.errors import SettingsError
from retroscope.files.checksums import MARK, checksum_line, seal
from retroscope.files.partials import PARTIAL, REMOVED, REPLACED, in_use, new_beside


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file, and its folder if needed, so that neither a reader nor a crash ever sees a part of it."""
    with whole_file(path) as file:
        file.write(content)
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing. It replaces `path` if the block ends without an error.

    The file gets the usual permissions of a new file (umask). On an error the old file stays unchanged. The content is
    on the disk before the file is renamed, so a loss of power leaves no empty file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL)
    partial = Path(name)
    try:
        with os.fdopen(handle, "w+b") as file, in_use(file):
            yield file
            file.flush()
            os.fsync(file.fileno())
            partial.chmod(0o666 & ~_umask())
            if os.name == "nt":  # where an open file cannot be moved
                file.close()
            partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def checked_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing, as `whole_file` does, and append its checksum for `read_checked`."""
    with whole_file(path) as file:
        yield file
        file.seek(0)
        digest = xxhash.xxh3_128()
        while piece := file.read(2**20):
            digest.update(piece)
        file.write(checksum_line(digest.hexdigest()))


def refuse_foreign(path: Path) -> None:
    """Refuse to replace a folder that Retroscope did not write.

    Raises:
        SettingsError: if `path` holds files and lacks the mark of a report.
    """
    if path.exists() and not (path / MARK).exists() and (not path.is_dir() or any(path.iterdir())):
        raise SettingsError(
            "the report would overwrite files that Retroscope did not write",
            where=str(path),
            fix="give another output folder",
        )


def refuse_other_report(folder: Path, document: str, replaced: Iterable[str] = ()) -> None:
    """Refuse to replace a report that belongs to another document, or folders that Retroscope did not write.

    Args:
        document: the document that such a report has beside its page.
        replaced: folders below `folder` that the report replaces as a whole.

    Raises:
        SettingsError: if `folder` holds a page but no `document`, or if such a folder holds files that Retroscope did
            not write.
    """
    if (folder / "report.html").exists() and not (folder / document).exists():
        raise SettingsError(
            f"this folder has a report.html but no {document}, so the page belongs to something else and would be "
            "overwritten",
            where=str(folder),
            fix="give another output folder",
        )
    for name in replaced:
        refuse_foreign(folder / name)


def refuse_closed(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to, without making it. `prove_writable` also tries to write.

    Raises:
        SettingsError: if it, or the nearest folder above it that exists, is no folder or may not be written to.
    """
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        why = os.strerror(errno.EACCES) if there.is_dir() else f"{there} is not a folder"
        raise SettingsError(f"this folder cannot be written to: {why}", where=str(folder), fix="give another folder")


def prove_writable(folder: Path) -> None:
    """Make a folder if it does not exist, and check that a file can be written to it.

    Raises:
        SettingsError: if it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SettingsError(
            f"this folder cannot be written to: {error.strerror}", where=str(folder), fix="give another folder"
        ) from error


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Make a folder to fill. It replaces `path` if the block ends without an error.

    The new folder has no files of an earlier report. On an error the old folder stays unchanged. The file `.retroscope`
    in the folder lists the checksums of its files, which `open_sealed` reads.

    Raises:
        SettingsError: if `path` holds files that no report wrote.
    """
    refuse_foreign(path)
    with new_beside(path) as beside:
        new = beside / "new"
        new.mkdir()
        yield new
        seal(new)
        sync_folder(new)  # before the old folder moves: it takes long, and a disk may refuse here
        _exchange(path, new, beside / REPLACED)


def _exchange(path: Path, new: Path, old: Path) -> None:
    """Replace the folder `path` by the folder `new`. The old one is moved to `old`, and back after a failure."""
    try:
        if path.exists():
            path.rename(old)
        new.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    if old.exists():
        old.rename(old.with_name(REMOVED))


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder to fill. It becomes `path` if the block ends without an error.

    Raises:
        OSError: if there is a folder by then, unless it is empty.
    """
    with new_beside(path) as beside:
        new = beside / "new"
        new.mkdir()
        yield new
        sync_folder(new)
        new.rename(path)


def remove_whole(path: Path) -> None:
    """Remove a folder so that neither a reader nor a crash ever sees a part of it."""
    if path.exists():
        with new_beside(path) as beside:
            path.rename(beside / REMOVED)


def sync_folder(folder: Path) -> None:
    """Write everything in a folder through to the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            with (Path(place) / name).open("rb+") as file:
                os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
