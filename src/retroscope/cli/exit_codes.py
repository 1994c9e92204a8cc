"""The exit codes of the command line (docs/reference/json.md lists them), and the signals that cause some of them.

SIGHUP (a terminal closes) and SIGTERM (e.g. from a scheduler) stop a run in the same way as Ctrl-C.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from types import FrameType

DONE, UNSOUND, USER_ERROR, HUNG_UP, INTERRUPTED, TERMINATED = 0, 1, 2, 129, 130, 143

STOPPED = "finished measurements are kept; repeat the command to continue"
MEANINGS = {
    DONE: "done",
    UNSOUND: "`doctor` found an error, `cache --verify` a damaged file, or a condition of `--gate` does not hold",
    USER_ERROR: "an error that you can correct: the message says what is wrong, where, and what to do",
    HUNG_UP: f"hung up (SIGHUP, as when a terminal closes); {STOPPED}",
    INTERRUPTED: f"interrupted (Ctrl-C); {STOPPED}",
    TERMINATED: f"terminated (SIGTERM, as from a scheduler); {STOPPED}",
}

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # those that the system has
REPEATED = 1.0  # seconds after a signal in which another one is ignored: `timeout` sends two


@dataclass
class Stop:
    """The signal that stopped a run, if there was one.

    Attributes:
        number: number of the first signal, e.g. 15 for SIGTERM, or 0 if none came.
        at: time of the last signal, in seconds of `time.monotonic`.
    """

    number: int = 0
    at: float = 0.0

    def stop(self, number: int, _: FrameType | None) -> None:
        """Record the signal and raise `KeyboardInterrupt`, but ignore a signal within `REPEATED` seconds of another."""
        again = bool(self.number) and monotonic() - self.at < REPEATED
        self.number, self.at = self.number or number, monotonic()
        if not again:
            raise KeyboardInterrupt

    @property
    def code(self) -> int:
        """Return the exit code that shells give to a command that was ended by this signal."""
        return 128 + self.number if self.number else INTERRUPTED


@contextmanager
def stopping() -> Iterator[Stop]:
    """Make SIGINT, SIGTERM and SIGHUP stop the run as Ctrl-C does, while the context is open.

    A signal that the process ignores (as under `nohup`) stays ignored.
    """
    stop, before = Stop(), {}
    for number in (getattr(signal, name) for name in SIGNALS if name in dir(signal)):
        if signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, stop.stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
