"""Checksums of stored files: they are written with the files, and verified when the files are read.

A folder that is written as a whole lists those of its files in `.retroscope`. A file that is kept by itself ends in a
line with its own. A JSON document has its own in the field `checksum` (`documents.py`). Vectors have one a chunk, which
zarr checks (`representations/store.py`).
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
    """Return the line with the checksum that ends a file."""
    return LINE.format(digest).encode()


def read_checked(path: Path, fix: str) -> bytes:
    """Read a file that ends in its checksum, verify it, and return the content.

    Raises:
        DamageError: if the file is missing or damaged.
    """
    whole = _content(path, fix)
    content, line = whole[:-LINE_BYTES], whole[-LINE_BYTES:]
    if line != checksum_line(checksum(content)):
        raise damaged(path, fix)
    return content


def read_if_sound(path: Path) -> bytes | None:
    """Read a file that ends in its checksum, or None if it does not exist or is damaged.

    A damaged file is noted and removed, so that it is made again.
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
    """Return the error for a file whose checksum does not match."""
    return DamageError("this file is damaged: its content does not match its checksum", where=str(path), fix=fix)


def note_remade(damage: RetroscopeError) -> None:
    """Tell the user that damaged or unusable data will be computed again."""
    log.warning("note: %s: %s; it is made again", damage.where, damage.what)


def seal(folder: Path) -> None:
    """Write the checksums of all files below a folder to its file `.retroscope`."""
    listed = "\n".join(f"{digest}  {name}" for name, digest in checksums_of(folder).items()).encode()
    (folder / MARK).write_bytes(listed + checksum_line(checksum(listed)))


def checksums_of(folder: Path) -> dict[str, str]:
    """Map every file below a folder to its checksum, in the order of their paths."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARK)
    return {path.relative_to(folder).as_posix(): checksum(path.read_bytes()) for path in paths}


@dataclass(frozen=True)
class Sealed:
    """A folder with a list of checksums. Each file is verified when it is read. Make one with `open_sealed`.

    Attributes:
        checksums: name of a file -> its checksum.
        fix: what a user should do if one is damaged.
    """

    folder: Path
    checksums: Mapping[str, str]
    fix: str

    def read(self, name: str) -> bytes:
        """Return the content of a file after verifying its checksum.

        Raises:
            DamageError: if the file is missing or damaged.
        """
        content = _content(self.folder / name, self.fix)
        if self.checksums.get(name) != checksum(content):
            raise damaged(self.folder / name, self.fix)
        return content

    def below(self, name: str) -> dict[str, bytes]:
        """Map each relative path below a subfolder to the verified content of the file."""
        inside = f"{name}/"
        return {path.removeprefix(inside): self.read(path) for path in self.checksums if path.startswith(inside)}

    def damages(self) -> list[DamageError]:
        """Return an error for each file that is missing or damaged."""
        found = []
        for name in self.checksums:
            try:
                self.read(name)
            except DamageError as damage:
                found.append(damage)
        return found


def open_sealed(folder: Path, fix: str) -> Sealed:
    """Read a folder's list of checksums, and return the folder for verified reading.

    Raises:
        DamageError: if it has none, or they are damaged themselves.
    """
    lines = [line.partition("  ") for line in read_checked(folder / MARK, fix).decode().splitlines()]
    return Sealed(folder, {name: digest for digest, _, name in lines}, fix)


def _content(path: Path, fix: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(error, path, fix) from error


def unreadable(error: OSError, path: Path, fix: str) -> Exception:
    """Return the damage error for an operating system's error, or the error itself if the file may be intact."""
    if error.errno not in UNREADABLE:
        return error
    if error.errno == errno.ENOENT:
        return DamageError("this file is missing", where=str(path), fix=fix)
    return DamageError(f"this file cannot be read: {error.strerror}", where=str(path), fix=fix)
