"""Progress of long work: the two forms of a callback, who listens, and the pace and times of its stages."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Progress = Callable[[str, int, int], None]
"""Receives (what, done, total): the name of the stage under way, the items done, and the items of the stage."""

Count = Callable[[int, int], None]
"""Receives (done, total) of one stage, which the caller names; what the items are, the function's docs say."""


def counted(progress: Progress | None, what: str, total: int) -> Callable[[int], None] | None:
    """Return the callback of one stage whose name and size are known; None where nobody listens."""
    return None if progress is None else (lambda done: progress(what, done, total))


_listener: ContextVar[Progress | None] = ContextVar("what a caller shows progress with", default=None)


def listener() -> Progress | None:
    """Return the callback of the caller that decided about progress, `silence` perhaps; None where none did."""
    return _listener.get()


def listens() -> Progress | None:
    """Return the callback of the caller that shows progress, if any does.

    For long work far below it, such as the reading of files, through which no callback is handed down.
    """
    callback = listener()
    return None if callback is silence else callback


def silence(what: str, done: int, total: int) -> None:
    """Show nothing: the listener of a caller that wants no progress."""


@contextmanager
def heard_by(callback: Progress) -> Iterator[None]:
    """Report long work far below to a callback while the context is open."""
    token = _listener.set(callback)
    try:
        yield
    finally:
        _listener.reset(token)


AT_ONCE = 0.01  # seconds
SOONEST = 1.0  # seconds before a rate is told: a moment says little of the next


class Pace:
    """The rate of one stage and the time that is left, known from the first report after `SOONEST` seconds on.

    A stage may report 0 when it starts, and then at once what an earlier run did, which does not count as its own.
    """

    def __init__(self, started: float) -> None:
        """Begin a stage that started at a time of `time.monotonic`, at the latest."""
        self.done, self.total = 0, 0
        self._before, self._started, self._now = 0, started, started

    def report(self, done: int, total: int, now: float) -> None:
        """Take what is done at a time."""
        if done == 0 or (self._before == self.done and now - self._started < AT_ONCE):
            self._before, self._started = done, now
        self.done, self.total, self._now = done, total, now

    @property
    def rate(self) -> float | None:
        """Return items a second; None before enough was measured."""
        took, items = self._now - self._started, self.done - self._before
        return items / took if items > 0 and took >= SOONEST else None

    def left(self, now: float) -> float | None:
        """Return the seconds that are left at a time; None where there is no rate."""
        rate = self.rate
        return None if rate is None else max(0.0, (self.total - self.done) / rate - (now - self._now))


class Stages:
    """Stages of work on one model: each is named to a progress callback, and its time is kept.

    Attributes:
        side: the name of the model, put before the name of every stage.
        seconds: stage -> wall time.
    """

    def __init__(self, side: str, progress: Progress | None) -> None:
        self.side = side
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def named(self) -> Progress | None:
        """Return the callback for a function that names its own stages; None where nobody listens."""
        if self.progress is None:
            return None
        report = self.progress
        return lambda what, done, total: report(f"{self.side}: {what}", done, total)

    def inside(self, stage: str) -> Count | None:
        """Return the callback for a function that counts within one stage; None where nobody listens."""
        if self.progress is None:
            return None
        report = self.progress
        return lambda done, total: report(f"{self.side}: {stage}", done, total)

    def of_towers(self) -> Progress | None:
        """Return the callback for an extraction, which names the tower; None where nobody listens."""
        if self.progress is None:
            return None
        report = self.progress
        return lambda tower, done, total: report(f"{self.side}: encoding {tower} texts", done, total)

    def ended(self, stage: str) -> None:
        """Add the time since the last stage ended to this stage."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
