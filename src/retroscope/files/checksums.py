"""Checksums of stored files: they are written with the files, and verified when the files are read.

A folder that is written as a whole has the checksums of its files in its file `.retroscope`. A single file has its
checksum in its last line. A JSON document has it in the field `checksum` (`documents.py`). Vectors have one checksum
per zarr chunk, which zarr verifies (`representations/store.py`).
"""

import errno
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import xxhash

from retroscope.errors import DamageError, RetroscopeError

MARK = ".retroscope"  # in every folder that is written as a whole, and may therefore be replaced
LINE = "\n# xxh3_128 {}\n"  # at the end of a file; a comment, where the file is of text
LINE_BYTES = len(LINE.format(32 * "0"))

# What the system says of a file that is gone, became a folder, or lies on broken blocks. Whatever else it says (too
# many open files, no permission, a server that does not answer) is not about the file, whose content may be sound.
UNREADABLE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO)

log = logging.getLogger("retroscope")


def checksum(content: bytes) -> str:
    """Return the XXH3 checksum of 128 bits as hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(content)


def checksum_line(digest: str) -> bytes:
    """Return the last line of a checked file, which holds the checksum `digest` of the content above it."""
    return LINE.format(digest).encode()


def read_checked(path: Path, fix: str) -> bytes:
    """Read a file whose last line is its checksum, verify it, and return the content without that line.

    Args:
        fix: what a user should do if the file is damaged.

    Raises:
        DamageError: if the file is missing or damaged.
    """
    checked = stored_bytes(path, fix)
    content, line = checked[:-LINE_BYTES], checked[-LINE_BYTES:]
    if line != checksum_line(checksum(content)):
        raise damaged(path, fix)
    return content


def read_if_sound(path: Path) -> bytes | None:
    """Read a file whose last line is its checksum, and return the content without that line.

    Return None if the file does not exist or is damaged. A damaged file is reported to the user and removed, so that
    the caller computes it again.
    """
    if not path.exists():
        return None
    try:
        return read_checked(path, "")
    except DamageError as damage:
        note_remade(damage)
        with suppress(OSError):  # in a read-only folder it stays, and is left out
            path.unlink()
        return None


def damaged(path: Path | str, fix: str) -> DamageError:
    """Return the error for a file whose content does not match its checksum. `fix` is what a user should do."""
    return DamageError("this file is damaged: its content does not match its checksum", where=str(path), fix=fix)


def note_remade(damage: RetroscopeError) -> None:
    """Tell the user that data are computed again, because the stored data are damaged or unusable."""
    log.warning("note: %s: %s; it is computed again", damage.where, damage.what)


def seal(folder: Path) -> None:
    """Write the checksums of all files below a folder to its file `.retroscope`."""
    listed = "\n".join(f"{digest}  {name}" for name, digest in checksums_of(folder).items()).encode()
    (folder / MARK).write_bytes(listed + checksum_line(checksum(listed)))


def checksums_of(folder: Path) -> dict[str, str]:
    """Return the checksum of every file below a folder, by relative path, in the order of the paths."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARK)
    return {path.relative_to(folder).as_posix(): checksum(path.read_bytes()) for path in paths}


@dataclass(frozen=True)
class Sealed:
    """A folder whose file `.retroscope` lists the checksums of all its files, which are verified when they are read.

    Attributes:
        checksums: checksum of every file, by relative path.
        fix: what a user should do if a file is damaged.
    """

    folder: Path
    checksums: Mapping[str, str]
    fix: str

    def read(self, name: str) -> bytes:
        """Return the content of a file after verifying its checksum.

        Raises:
            DamageError: if the file is missing or damaged.
        """
        content = stored_bytes(self.folder / name, self.fix)
        if self.checksums.get(name) != checksum(content):
            raise damaged(self.folder / name, self.fix)
        return content

    def below(self, name: str) -> dict[str, bytes]:
        """Return the verified content of every file below a subfolder, by its path relative to that subfolder."""
        inside = f"{name}/"
        return {path.removeprefix(inside): self.read(path) for path in self.checksums if path.startswith(inside)}

    def damages(self) -> list[DamageError]:
        """Return an error for each file that is missing or damaged."""
        errors = []
        for name in self.checksums:
            try:
                self.read(name)
            except DamageError as damage:
                errors.append(damage)
        return errors


def open_sealed(folder: Path, fix: str) -> Sealed:
    """Read the list of checksums of a folder (its file `.retroscope`), so that its files are verified when read.

    Args:
        fix: what a user should do if a file is damaged.

    Raises:
        DamageError: if the list is missing or damaged.
    """
    lines = [line.partition("  ") for line in read_checked(folder / MARK, fix).decode().splitlines()]
    return Sealed(folder, {name: digest for digest, _, name in lines}, fix)


def stored_bytes(path: Path, fix: str) -> bytes:
    """Read a stored file. Reading a pipe or a device in its place would never end.

    Raises:
        DamageError: if the file is missing or broken, or is no regular file.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise DamageError("this is a pipe or a device, not a file", where=str(path), fix=fix)
        return path.read_bytes()
    except OSError as error:
        raise unreadable(error, path, fix) from error


def unreadable(error: OSError, path: Path, fix: str) -> Exception:
    """Return a `DamageError` if an operating system's error means that the file is missing or broken.

    Otherwise, e.g. without permission, the file may be intact, and the error itself is returned.
    """
    if error.errno not in UNREADABLE:
        return error
    if error.errno == errno.ENOENT:
        return DamageError("this file is missing", where=str(path), fix=fix)
    return DamageError(f"this file cannot be read: {error.strerror}", where=str(path), fix=fix)
