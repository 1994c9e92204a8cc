"""Files and folders that are whole or absent: written beside their place, then moved into it."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import xxhash

from retroscope.checksums import MARK, checksum_line, seal
from retroscope.errors import SettingsError


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file, and its folder where there is none, so that no reader and no crash ever sees half of it."""
    with whole_file(path) as file:
        file.write(content)
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing; it takes the place of `path` when the block ends without an error.

    It gets the permissions of any new file, as the umask says. On an error the old file stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
        Path(beside).chmod(0o666 & ~_umask())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


@contextmanager
def checked_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing, as `whole_file` does; it ends in its checksum, and `read_checked` reads it."""
    with whole_file(path) as file:
        yield file
        file.seek(0)
        digest = xxhash.xxh3_128()
        while piece := file.read(2**20):
            digest.update(piece)
        file.write(checksum_line(digest.hexdigest()))


def refuse_foreign(path: Path) -> None:
    """Refuse to replace a folder that no report wrote.

    Raises:
        SettingsError: if `path` holds files and lacks the mark of a report.
    """
    if path.exists() and not (path / MARK).exists() and (not path.is_dir() or any(path.iterdir())):
        raise SettingsError(
            "the report would replace files that are not of a report",
            where=str(path),
            fix="name another folder",
        )


def refuse_other_report(folder: Path, document: str) -> None:
    """Refuse to replace a `report.html` that was written for another document.

    Raises:
        SettingsError: if `folder` holds a page but no `document`.
    """
    if (folder / "report.html").exists() and not (folder / document).exists():
        raise SettingsError(
            "the report.html here belongs to something else and would be replaced",
            where=str(folder),
            fix="name another folder",
        )


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file, which is read piece by piece."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Make a folder to fill; it takes the place of `path` when the block ends without an error.

    Files of an earlier report are not in it. On an error the old folder stays as it was. Its `.retroscope` lists the
    checksums of its files, which `open_sealed` reads.

    Raises:
        SettingsError: if `path` holds files that no report wrote.
    """
    refuse_foreign(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        new = beside / "new"
        new.mkdir()
        yield new
        seal(new)
        if path.exists():
            path.replace(beside / "old")
        new.replace(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
