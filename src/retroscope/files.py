"""Files that are whole or not there: written beside their place, then moved into it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retroscope.errors import SettingsError

MARK = ".retroscope"  # in every folder that a report wrote, and may therefore replace


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file so that no reader and no crash ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(beside).chmod(0o666 & ~_umask())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return path


def refuse_foreign(path: Path) -> None:
    """An error where a folder that a report would replace holds somebody's own files."""
    if path.exists() and not (path / MARK).exists() and (not path.is_dir() or any(path.iterdir())):
        raise SettingsError(
            "this was not written by a report, and a report would replace it",
            where=str(path),
            fix="name another --out, or move it away",
        )


def refuse_other_report(folder: Path, document: str) -> None:
    """An error where a page would replace one that stands for something else than `document`."""
    if (folder / "report.html").exists() and not (folder / document).exists():
        raise SettingsError(
            "the report.html here is of something else, and would be replaced",
            where=str(folder),
            fix="name another --out, or move it away",
        )


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill; it takes the place of `path` when the block ends without an error.

    Files of an earlier report do not survive in it. On an error the old folder stays as it was.

    Raises:
        SettingsError: if `path` holds files that no report wrote.
    """
    refuse_foreign(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        new = beside / "new"
        new.mkdir()
        (new / MARK).touch()
        yield new
        if path.exists():
            path.replace(beside / "old")
        new.replace(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
