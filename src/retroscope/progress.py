"""Progress of long work: callbacks, their receivers, and the speed and times of stages."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Progress = Callable[[str, int, int], None]
"""Receives (what, done, total): the name of the stage under way, the items done, and the items of the stage."""

Count = Callable[[int, int], None]
"""Receives (done, total) of one stage, which the caller names; what the items are, the function's docs say."""


def counted(progress: Progress | None, what: str, total: int) -> Callable[[int], None] | None:
    """Return the progress callback of one stage of known name and size, or None if progress is not reported."""
    return None if progress is None else (lambda done: progress(what, done, total))


_listener: ContextVar[Progress | None] = ContextVar("what a caller shows progress with", default=None)


def listener() -> Progress | None:
    """Return the progress callback that a caller has set, possibly `silence`, or None if none was set."""
    return _listener.get()


def listens() -> Progress | None:
    """Return the progress callback of a caller that shows progress, or None if there is none.

    It is for long work in functions that get no callback, such as the reading of files.
    """
    callback = listener()
    return None if callback is silence else callback


def silence(what: str, done: int, total: int) -> None:
    """Do nothing: the callback for a caller that wants no progress."""


@contextmanager
def heard_by(callback: Progress) -> Iterator[None]:
    """Send the progress of all work inside the context to a callback."""
    token = _listener.set(callback)
    try:
        yield
    finally:
        _listener.reset(token)


AT_ONCE = 0.01  # seconds
SOONEST = 1.0  # seconds before a rate is told: a moment says little of the next
SMALLEST = 0.01  # of the items: a first report of fewer tells no rate, since its time may be that of preparations


class Pace:
    """Estimate of one stage's speed and remaining time.

    A stage may report 0 when it starts and then immediately report the work of an earlier run, which does not count.
    From the second report on, the time until the first report does not count, because it may include preparations.
    """

    def __init__(self, started: float) -> None:
        """Start a stage at a time of `time.monotonic`."""
        self.done, self.total = 0, 0
        self._before, self._started, self._now = 0, started, started
        self._first: tuple[int, float] | None = None  # items of the stage's own first report, and when it came

    def report(self, done: int, total: int, now: float) -> None:
        """Record how many items are done at a time."""
        if done == 0 or (self._before == self.done and now - self._started < AT_ONCE):
            self._before, self._started, self._first = done, now, None
        elif self._first is None and done > self._before:
            self._first = done, now
        self.done, self.total, self._now = done, total, now

    @property
    def rate(self) -> float | None:
        """Return the items per second. None until enough was measured."""
        if self._first is None:
            return None
        counted, since = self._first
        if self.done > counted and self._now - since >= SOONEST:
            return (self.done - counted) / (self._now - since)
        took, items = self._now - self._started, self.done - self._before
        return items / took if items >= SMALLEST * self.total and took >= SOONEST else None

    def left(self, now: float) -> float | None:
        """Return the remaining seconds at a time, or None without a speed."""
        rate = self.rate
        return None if rate is None else max(0.0, (self.total - self.done) / rate - (now - self._now))


class Stages:
    """Named stages of work on one model, which reports them to a progress callback and keeps their times.

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
        """Return the progress callback for a function that names its own stages, or None without progress."""
        if self.progress is None:
            return None
        report = self.progress
        return lambda what, done, total: report(f"{self.side}: {what}", done, total)

    def inside(self, stage: str) -> Count | None:
        """Return the progress callback for a function that counts within one stage, or None without progress."""
        if self.progress is None:
            return None
        report = self.progress
        return lambda done, total: report(f"{self.side}: {stage}", done, total)

    def of_towers(self) -> Progress | None:
        """Return the progress callback for an extraction, which names the tower, or None without progress."""
        if self.progress is None:
            return None
        report = self.progress
        return lambda tower, done, total: report(f"{self.side}: encoding {tower} texts", done, total)

    def ended(self, stage: str) -> None:
        """Add the time since the last stage ended to this stage."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
