"""Write files and folders completely or not at all: under a temporary name first, then renamed.

A file that is being written is locked by its writer (see `partials`). If the writer is killed, the temporary file
remains. The next run that writes into the folder removes it (`remove_abandoned`).
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
    """Write a file completely or not at all. Its folder is created if needed. Return the path."""
    with whole_file(path) as file:
        file.write(content)
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing. It replaces `path` if the context closes without an error.

    The file has the usual permissions of a new file (umask). After an error, the old file at `path` is unchanged. The
    content is on the disk before the file is renamed, so a power failure does not leave an empty file.
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
    """Open a new file for writing, and append its checksum as the last line when the context closes.

    As with `whole_file`, the file replaces `path` only if the context closes without an error. `read_checked` verifies
    the checksum.
    """
    with whole_file(path) as file:
        yield file
        file.seek(0)
        digest = xxhash.xxh3_128()
        while piece := file.read(2**20):
            digest.update(piece)
        file.write(checksum_line(digest.hexdigest()))


def refuse_foreign(path: Path) -> None:
    """Check that `path` may be replaced: it does not exist, is an empty folder, or Retroscope wrote it.

    Raises:
        SettingsError: if it is a file, or a folder with files but without the file `.retroscope`.
    """
    if path.exists() and not (path / MARK).exists() and (not path.is_dir() or any(path.iterdir())):
        raise SettingsError(
            "the report would overwrite files that Retroscope did not write",
            where=str(path),
            fix="give another output folder",
        )


def refuse_other_report(folder: Path, document: str, replaced: Iterable[str] = ()) -> None:
    """Check that a report may be written to a folder without overwriting foreign files.

    Args:
        document: name of the JSON document that this kind of report has in addition to report.html.
        replaced: names of subfolders that the report replaces as a whole.

    Raises:
        SettingsError: if `folder` has a report.html but no `document`, or if one of the subfolders has files that
            Retroscope did not write.
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
    """Check by its permissions that a folder can be created or written to. `prove_writable` also tries to write.

    Raises:
        SettingsError: if `folder`, or the nearest parent that exists, is not a folder or has no permission to write.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        why = os.strerror(errno.EACCES) if existing.is_dir() else f"{existing} is not a folder"
        raise SettingsError(f"this folder cannot be written to: {why}", where=str(folder), fix="give another folder")


def prove_writable(folder: Path) -> None:
    """Create a folder if it does not exist, and check that a file can be written to it.

    Raises:
        SettingsError: if the folder cannot be created or written to.
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
    """Return the SHA-256 of a file in hexadecimal digits. The file is read in pieces, so it may exceed memory."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Create an empty folder, and yield it. It replaces the folder `path` if the context closes without an error.

    After an error, the old folder is unchanged. The file `.retroscope` in the new folder has the checksums of its
    files, for `open_sealed`.

    Raises:
        SettingsError: if `path` has files that Retroscope did not write.
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
    """Replace the folder `path` by the folder `new`. The old folder is moved to `old`, and back after an error."""
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
    """Create an empty folder, and yield it. It becomes `path` if the context closes without an error.

    Raises:
        OSError: if `path` exists when the context closes, unless it is an empty folder.
    """
    with new_beside(path) as beside:
        new = beside / "new"
        new.mkdir()
        yield new
        sync_folder(new)
        new.rename(path)


def remove_whole(path: Path) -> None:
    """Remove a folder at once, so that no reader sees a part of it: it is renamed first, and deleted then."""
    if path.exists():
        with new_beside(path) as beside:
            path.rename(beside / REMOVED)


def sync_folder(folder: Path) -> None:
    """Write all files in a folder from the operating system's cache to the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            with (Path(place) / name).open("rb+") as file:
                os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
