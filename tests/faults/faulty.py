"""A run of the command line that something happens to: it is killed at a call, the disk is full, the clock is wrong.

Runs inside the process that is disturbed. Every call that changes files is counted by an audit hook of Python, which
sees `open`, `os.replace`, `os.mkdir` and the like, whichever library calls them; `os.fsync` is counted, too.
"""

import errno
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CREATE, CHANGE = ("os.mkdir", "os.link"), ("os.rename", "os.remove", "os.rmdir", "os.truncate")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to a run.

    Attributes:
        kill_at: number of the call that changes files before which the process is killed; 0: never.
        full_at: number of the call from which on no file can be made; 0: never.
        file_bytes: no file can grow beyond; 0: no limit.
        clock: seconds that the clock is wrong by.
    """

    kill_at: int = 0
    full_at: int = 0
    file_bytes: int = 0
    clock: float = 0.0


@dataclass(frozen=True)
class Place:
    """Where a run happens: the folder that it may change, and the files that its output and its calls are noted in."""

    root: Path
    output: Path
    calls: Path


def run(words: list[str], fault: Fault, place: Place) -> None:
    """Run a command line in this process, which it ends."""
    _redirect(place)
    _disturb(fault, place)
    sys.argv = ["retroscope", *words]
    from retroscope.cli.main import main

    try:
        main()
    finally:
        with _full_stderr_dropped():
            sys.stderr.flush()


@contextmanager
def _full_stderr_dropped() -> Iterator[None]:
    """Drop what standard error cannot take, as an interpreter does that ends; a child of multiprocessing fails."""
    try:
        yield
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _redirect(place: Place) -> None:
    """Print to files, keep temporary files inside the folder, and take signals as a terminal's process does."""
    for number, name in ((1, "out"), (2, "err")):
        handle = os.open(place.output.with_suffix(f".{name}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdin, sys.stdout, sys.stderr = open(os.devnull), os.fdopen(1, "w"), os.fdopen(2, "w", 1)  # noqa: SIM115
    temporary = place.root / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    os.environ |= {"TMPDIR": str(temporary), "RETROSCOPE_CACHE": str(place.root / "cache"), "HF_HUB_OFFLINE": "1"}
    os.chdir(place.root)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _disturb(fault: Fault, place: Place) -> None:
    if fault.file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.file_bytes, resource.RLIM_INFINITY))
    if fault.clock:
        now = time.time
        time.time = lambda: now() + fault.clock
    note = os.open(place.calls, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    sys.addaudithook(_counter(fault, str(place.root), note))
    sync = os.fsync

    def audited(file: int) -> None:
        sys.audit("faults.fsync", file)
        sync(file)

    os.fsync = audited


def _counter(fault: Fault, root: str, note: int) -> Callable[[str, tuple[Any, ...]], None]:
    """Return a hook that counts the calls that change files below `root`, notes them, and lets the fault happen."""
    calls = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal calls
        if not (event == "faults.fsync" or _changes(event, arguments, root)):
            return
        calls += 1
        if calls == fault.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        makes = event == "open" or event in CREATE
        if fault.full_at and calls >= fault.full_at and makes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arguments[0])
        target = arguments[1] if event in ("os.rename", "os.link") else arguments[0]
        os.write(note, f"{event}\t{target}\n".encode(errors="replace"))

    return hook


def _changes(event: str, arguments: tuple[Any, ...], root: str) -> bool:
    """Return whether a call changes files below a folder."""
    if event == "open":
        path, mode, flags = arguments
        writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & WRITES)
        return writes and isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(root)
    if event not in (*CREATE, *CHANGE):
        return False
    path = arguments[0]
    if not isinstance(path, str | os.PathLike):
        return False
    beside_a_folder = event != "os.rename" and isinstance(arguments[-1], int) and arguments[-1] > 0
    return beside_a_folder or os.path.abspath(path).startswith(root)
