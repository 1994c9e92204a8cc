"""Output: progress and notes on standard error, results on standard output."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from retroscope.errors import SettingsError

Told = Callable[[str, int, int], None]
SELDOM = 60.0  # seconds between lines of progress where there is no terminal
NARROW = 90  # characters of a terminal in which bars would leave no room for names


def note(text: str) -> None:
    """Write one line to standard error."""
    sys.stderr.write(f"{text}\n")


def say(text: str) -> None:
    """Write a result in words to standard output."""
    sys.stdout.write(f"{text}\n")


def emit(document: Mapping[str, Any]) -> None:
    """Write one JSON document to standard output."""
    sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


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


@contextmanager
def progress_bars() -> Iterator[Told]:
    """Yield a function that shows (what, done, total): as bars in a terminal, as occasional lines in a log."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    with Progress(*_columns(console.width), console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def told(what: str, done: int, total: int) -> None:
            task = tasks.get(what)
            if task is None:
                task = tasks[what] = bars.add_task(what, total=total, rate="")
            speed = bars.tasks[bars.task_ids.index(task)].speed
            bars.update(task, completed=done, total=total, rate=f"{speed:,.0f}/s" if speed else "")

        yield told


def _lines() -> Told:
    """Return a function that writes at most one line every `SELDOM` seconds, and none for short work."""
    last = monotonic()

    def told(what: str, done: int, total: int) -> None:
        nonlocal last
        if monotonic() - last >= SELDOM:
            last = monotonic()
            note(f"{what}: {done:,} of {total:,}")

    return told


def _columns(width: int) -> tuple[ProgressColumn, ...]:
    """Return the columns of a progress bar; a narrow terminal shows name and count only."""
    name = TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold"))
    count, left = MofNCompleteColumn(), (TimeRemainingColumn(), TextColumn("left"))
    if width < NARROW:
        return name, count, *left
    return name, BarColumn(), count, TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), *left
