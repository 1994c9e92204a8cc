"""Read foreign files (of users or from the web): only regular files, within limits, with errors as `RetroscopeError`.

A path may lead to a pipe that never ends, a device, a folder, a loop of links, or 10 KB that unpack to 10 GB, by
mistake or on purpose.
"""

import codecs
import errno
import gzip
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from retroscope.errors import RetroscopeError, SettingsError, cut, did_you_mean, excerpt
from retroscope.files.git_lfs import refuse_pointer
from retroscope.progress import Progress, listens

ErrorClass = type[RetroscopeError]
PathLike = str | os.PathLike[str]  # how a user may give a path

GZIP_MAGIC = b"\x1f\x8b"
LONGEST_LINE = 32 * 2**20  # bytes of a line, and of a JSON item
MOST_EMPTY = 100_000  # empty lines, one after another
LARGEST_DOCUMENT = 64 * 2**20  # bytes of a JSON document that is read at once
BUFFER = 2**17  # bytes unpacked at a time
MEGABYTE = 10**6
REPORTED = 10 * MEGABYTE  # the smallest file whose reading is a stage of its own
UNPACKED = 32 * 2**20  # bytes that any gzip file may unpack to
RATIO = 100  # times its size that a larger one may unpack to; text unpacks to 3 to 10 times its size
FULL = (errno.ENOSPC, errno.EDQUOT)
LONGEST_REASON = 200  # characters of a library's message
DOWNLOAD_AGAIN = "copy or download the file again"
KINDS: dict[Callable[[int], bool], str] = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


@contextmanager
def foreign(kind: ErrorClass, what: str, where: object, fix: str = DOWNLOAD_AGAIN) -> Iterator[None]:
    """Convert any error that a library raises while it reads a file to a `RetroscopeError`.

    Args:
        kind: class of the new error.
        what: the task that failed, e.g. "cannot load the tokenizer". The first line of the library's message is added.
        where: file or folder that is read. It is also added to a `RetroscopeError` that names no file.
        fix: what a user should do.
    """
    try:
        yield
    except RetroscopeError as error:
        error.where = error.where or str(where)
        raise
    except BaseException as error:  # a panic of a library in Rust is no `Exception`
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if isinstance(error, OSError) and error.errno in FULL:  # not the fault of what is read
            raise
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's is no MemoryError
            what, fix = f"{what}: there is not enough memory", "use a smaller model, or a machine with more memory"
            raise kind(what, where=str(where), fix=fix) from error
        raise kind(f"{what} ({reason(error)})", where=str(where), fix=fix) from error


def reason(error: BaseException) -> str:
    """Return an error's class and the first line of its message. For an operating system's error, only the message."""
    if isinstance(error, OSError) and error.strerror:
        return cut(error.strerror, LONGEST_REASON)
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {cut(line, LONGEST_REASON)}" if line else type(error).__name__


def path_or_name(given: PathLike) -> str | Path:
    """Return a string unchanged, because it may be a model's name on the hub. Return anything else as a `Path`."""
    return given if isinstance(given, str) else Path(given)


def path_of(given: PathLike, kind: ErrorClass = SettingsError) -> Path:
    """Return the path that a user or a file names, with `~` expanded. It need not exist.

    Raises:
        RetroscopeError: an error of the class `kind`, if the text cannot be a path, e.g. because it is too long, names
            an unknown user (`~nobody`) or contains NUL.
    """
    try:
        path = Path(given).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            path.stat()
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise kind(f"invalid path {excerpt(str(given))} ({reason(error)})", fix="correct the path") from error
    return path


def check_file(path: Path, kind: ErrorClass) -> None:
    """Check that a path is a regular file with permission to read, and not e.g. a folder, a pipe or a loop of links.

    Raises:
        RetroscopeError: an error of the class `kind`, if it is not.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise kind("no such file", where=str(path), fix=did_you_mean(path.name, names)) from error
    except (OSError, ValueError) as error:
        raise kind(f"this cannot be read: {reason(error)}", where=str(path), fix="check the path") from error
    wrong_kind = next((name for is_so, name in KINDS.items() if is_so(mode)), "")
    if wrong_kind:
        raise kind(f"this is {wrong_kind}, not a file", where=str(path), fix="give a regular file")
    if not os.access(path, os.R_OK):
        raise kind("there is no permission to read this file", where=str(path), fix="change its permissions")


@contextmanager
def open_bytes(path: Path, kind: ErrorClass) -> Iterator[IO[bytes]]:
    """Open a regular file for reading, and unpack it if its first two bytes are those of gzip.

    Raises:
        RetroscopeError: an error of the class `kind`, if this is no regular file, or if a gzip file is damaged or
            unpacks to far more than its size.
    """
    check_file(path, kind)
    try:
        refuse_pointer(path, kind)
        with _opened(path) as raw:
            packed = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=raw) as file, io.BufferedReader(_Unpacked(file, path, kind), BUFFER) as out:
                    yield out
            else:
                yield raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        what = f"damaged gzip: {cut(str(error), LONGEST_REASON)}"
        raise kind(what, where=str(path), fix="fetch or pack the file again") from error
    except OSError as error:
        if error.errno in FULL:
            raise
        raise kind(f"this cannot be read: {reason(error)}", where=str(path), fix="check the disk it is on") from error


def _opened(path: Path) -> IO[bytes]:
    """Open a file for reading. For a file of at least 10 MB, reading reports progress."""
    report = listens()
    if report is None or path.stat().st_size < REPORTED:
        return path.open("rb")
    return io.BufferedReader(_Reported(path, report), MEGABYTE)


class _Reported(io.FileIO):
    """A file that reports as progress how many megabytes have been read."""

    def __init__(self, path: Path, report: Progress) -> None:
        super().__init__(path)
        self._stage, self._report, self._read = f"reading {path.name}, MB", report, 0
        self._size = path.stat().st_size

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer) or 0
        before, self._read = self._read // MEGABYTE, min(self._size, self._read + count)
        if self._read // MEGABYTE > before:
            self._report(self._stage, self._read // MEGABYTE, self._size // MEGABYTE)
        return count


class _Unpacked(io.RawIOBase):
    """The unpacked content of a gzip file. Reading fails if it is far larger than the file, as real text never is."""

    def __init__(self, file: gzip.GzipFile, path: Path, kind: ErrorClass) -> None:
        self._file, self._path, self._kind = file, path, kind
        self._limit = max(UNPACKED, RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        """Return True, because reading parquet needs to seek."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        size = self._file.readinto(buffer)
        if self._file.tell() > self._limit:
            raise self._kind(
                f"this gzip file unpacks to more than {RATIO} times its size",
                where=str(self._path),
                fix="if you trust it, unpack it yourself, and use the unpacked file",
            )
        return size


def file_lines(path: Path, kind: ErrorClass) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, text) for every line of a text file in UTF-8, gzipped or not.

    A byte-order mark is removed.

    Raises:
        RetroscopeError: an error of the class `kind`, if the file has another encoding, a line of more than 32 MiB, or
            more than 100,000 empty lines in a row.
    """
    offset, empty = 0, 0
    with open_bytes(path, kind) as file:
        for number, raw in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), 1):
            if len(raw) > LONGEST_LINE:
                raise kind(
                    f"this line is longer than {LONGEST_LINE // 2**20} MiB",
                    where=f"{path}, line {number}",
                    fix="put every record on a line of its own",
                )
            empty = 0 if raw.strip() else empty + 1
            if empty > MOST_EMPTY:
                what = f"more than {MOST_EMPTY:,} empty lines follow one another"
                raise kind(what, where=f"{path}, line {number}", fix="remove these lines, or fetch the file again")
            if number == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            try:
                yield number, raw.decode()
            except UnicodeDecodeError as error:
                raise kind(
                    f"not UTF-8: {error.reason} (byte {offset + error.start} of the file)",
                    where=f"{path}, line {number}",
                    fix="save the file as UTF-8, e.g. iconv -f latin1 -t utf-8",
                ) from error
            offset += len(raw)


def read_whole(path: Path, kind: ErrorClass, largest: int = LARGEST_DOCUMENT) -> str:
    """Return the text of a file in UTF-8.

    Raises:
        RetroscopeError: an error of the class `kind`, if the path is no regular file, if the file is not UTF-8, or if
            it has more than `largest` bytes.
    """
    check_file(path, kind)
    with foreign(kind, "this cannot be read", path):
        with path.open("rb") as file:
            content = file.read(largest + 1)
        if len(content) > largest:
            what = f"this file is larger than {largest / 2**20:g} MiB, the limit for a file of this kind"
            raise kind(what, where=str(path), fix=DOWNLOAD_AGAIN)
        return content.decode()
