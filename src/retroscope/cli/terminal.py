"""Output: notes on standard error, results on standard output; folders that are claimed.

All that a command writes comes through here or `display`: no control character of an id or a text reaches the terminal.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from retroscope.errors import SettingsError
from retroscope.visible import visible, visible_json


def note(text: str) -> None:
    """Write one line to standard error."""
    sys.stderr.write(f"{visible(text)}\n")


def say(text: str) -> None:
    """Write a result in words to standard output."""
    sys.stdout.write(f"{visible(text)}\n")


def emit(document: Mapping[str, Any]) -> None:
    """Write one JSON document to standard output."""
    sys.stdout.write(visible_json(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)) + "\n")


@contextmanager
def claimed(*folders: Path) -> Iterator[None]:
    """Make the folders and prove them writable before the long work starts; after an error remove the empty ones."""
    made = [part for folder in folders for part in (folder, *folder.parents) if not os.path.exists(part)]  # inner first
    try:
        for folder in folders:
            _prove_writable(folder)
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):  # what holds something stays
                folder.rmdir()
        raise


def _prove_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SettingsError(
            f"nothing can be written here: {error.strerror}", where=str(folder), fix="name another folder"
        ) from error
