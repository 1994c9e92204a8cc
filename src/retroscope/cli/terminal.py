"""Write notes to standard error and results to standard output, and lock output folders.

Commands print only by these functions or by `display`, so that no control character in an id or a text reaches the
terminal.
"""

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from retroscope.errors import SettingsError
from retroscope.files.disk_errors import CLOSED
from retroscope.files.locks import held
from retroscope.files.partials import remove_abandoned
from retroscope.files.whole import prove_writable
from retroscope.visible import visible, visible_json


def note(text: str) -> None:
    """Write a text and a line break to standard error."""
    sys.stderr.write(f"{visible(text)}\n")


def say(text: str) -> None:
    """Write a result as plain text to standard output."""
    _print(f"{visible(text)}\n")


def emit(document: Mapping[str, Any]) -> None:
    """Write one JSON document to standard output."""
    _print(visible_json(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)) + "\n")


def _print(text: str) -> None:
    """Write text to standard output, and raise an error at once if that fails.

    Raises:
        SettingsError: if standard output is closed, or cannot be written to.
        BrokenPipeError: if the reading program (e.g. `head`) has ended.
    """
    if sys.stdout is None:
        raise SettingsError(
            "standard output is closed, so the result cannot be printed",
            fix="repeat the command with an open standard output, e.g. with > result.txt",
        )
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python tries again when it ends
        raise SettingsError(
            f"the result cannot be printed: {error.strerror}",
            where="standard output",
            fix="print to a terminal or to another file, and repeat the command",
        ) from None  # it is no fault of the disk that results are written to


@contextmanager
def claimed(*folders: Path, cache: Path | None = None, locked: bool = True) -> Iterator[None]:
    """Check that output folders can be written to, and lock them while the context is open.

    Partial files that killed runs left in the folders are removed. After an error, folders that did not exist before
    are removed again if they are empty.

    Args:
        cache: cache folder, which is not locked, because other runs also write to it. It may be read-only if it is
            not empty.
        locked: whether other runs are prevented from writing to the folders meanwhile.
    """
    from retroscope.study.folder import MEASURED

    named = [*folders, *([cache] if cache else [])]
    absent = [part for folder in named for part in (folder, *folder.parents) if not os.path.exists(part)]  # inner first
    try:
        with ExitStack() as locks:
            for folder in folders:
                prove_writable(folder)
                if locked:
                    locks.enter_context(held(folder))
                remove_abandoned(folder, folder / MEASURED, *(folder / MEASURED).glob("*"))
            if cache is not None and _is_open(cache):
                remove_abandoned(cache, *cache.glob("*/"), *cache.glob("*/*/"))
            yield
    except BaseException:
        for folder in absent:
            with suppress(OSError):  # a folder that is not empty stays
                folder.rmdir()
        raise


def _is_open(cache: Path) -> bool:
    """Return whether a cache can be written to. If it is read-only but not empty, print a note and return False."""
    try:
        prove_writable(cache)
    except SettingsError as error:
        closed = isinstance(error.__cause__, OSError) and error.__cause__.errno in CLOSED
        if not closed or not cache.is_dir() or not any(cache.iterdir()):
            raise
        note(f"the cache {cache} is read-only: its entries are used, and nothing is added to it")
        return False
    return True
