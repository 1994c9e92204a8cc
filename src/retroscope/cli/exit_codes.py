"""The exit codes of the command line (docs/reference/json.md lists them), and the signals that cause some of them.

The signals of a terminal that closes and of a scheduler stop a run as Ctrl-C does.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from types import FrameType

DONE, UNSOUND, USER_ERROR, HUNG_UP, INTERRUPTED, TERMINATED = 0, 1, 2, 129, 130, 143

STOPPED = "what was measured is kept, and the same command goes on from there"
MEANINGS = {
    DONE: "done",
    UNSOUND: "`doctor` found an error, `cache --verify` a damaged file, or a condition of `--gate` does not hold",
    USER_ERROR: "a mistake that you can mend: the message says what, where, and what to do",
    HUNG_UP: f"hung up (SIGHUP, as when a terminal closes); {STOPPED}",
    INTERRUPTED: f"interrupted (Ctrl-C); {STOPPED}",
    TERMINATED: f"terminated (SIGTERM, as from a scheduler); {STOPPED}",
}

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # those that the system has
REPEATED = 1.0  # seconds in which a further signal says the same: `timeout` sends two


@dataclass
class Stop:
    """The signal that stopped a run, and its time, empty if there was none.

    Attributes:
        number: number of the first signal, or 0 if none came.
        at: time of the last signal.
    """

    number: int = 0
    at: float = 0.0

    def stop(self, number: int, _: FrameType | None) -> None:
        """Record the signal and raise `KeyboardInterrupt`, so that every open block cleans up."""
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
    """Make every signal stop the run as Ctrl-C does, except signals that are ignored (as under `nohup`)."""
    stop, before = Stop(), {}
    for number in (getattr(signal, name) for name in SIGNALS if name in dir(signal)):
        if signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, stop.stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
