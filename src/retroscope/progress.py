"""Progress of long work: callbacks, their receivers, and the speed and times of stages."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Progress = Callable[[str, int, int], None]
"""A callback of (what, done, total): name of the current stage, how many items are done, how many the stage has."""

Count = Callable[[int, int], None]
"""A callback of (done, total) for a single stage: how many items are done, and how many the stage has."""

ProgressBy = Callable[[int], None]
"""A callback of how many items are done since the last call."""


def counted(progress: Progress | None, what: str, total: int) -> Callable[[int], None] | None:
    """Return a callback of (done) for a stage with the name `what` and `total` items; None if `progress` is None."""
    return None if progress is None else (lambda done: progress(what, done, total))


_listener: ContextVar[Progress | None] = ContextVar("what a caller shows progress with", default=None)


def listener() -> Progress | None:
    """Return the progress callback of the surrounding `heard_by` context (perhaps `silence`), or None without one."""
    return _listener.get()


def listens() -> Progress | None:
    """Return the progress callback of the surrounding `heard_by` context; None without one or if it is `silence`.

    Functions without an argument `progress`, such as those that read files, report their progress to this callback.
    """
    callback = listener()
    return None if callback is silence else callback


def silence(what: str, done: int, total: int) -> None:
    """Do nothing: the callback for a caller that wants no progress."""


@contextmanager
def heard_by(callback: Progress) -> Iterator[None]:
    """Set the progress callback of all functions that are called inside the context (see `listener` and `listens`)."""
    token = _listener.set(callback)
    try:
        yield
    finally:
        _listener.reset(token)


AT_ONCE = 0.01  # seconds
SOONEST = 1.0  # seconds that must be measured before a speed is estimated
SMALLEST = 0.01  # fraction of the items: a smaller first report gives no speed, as its time may include preparations


class Pace:
    """Estimates the speed and the remaining time of one stage.

    Items that a stage reports immediately after its start are the work of an earlier run and do not count. From the
    second report on, the time before the first report does not count, because it may include preparations.
    """

    def __init__(self, started: float) -> None:
        """Start the estimate. `started` is the time of `time.monotonic` at which the stage started."""
        self.done, self.total = 0, 0
        self._before, self._started, self._now = 0, started, started
        self._first: tuple[int, float] | None = None  # items of the stage's own first report, and when it came

    def report(self, done: int, total: int, now: float) -> None:
        """Record that `done` of `total` items are done at the time `now` (of `time.monotonic`)."""
        if done == 0 or (self._before == self.done and now - self._started < AT_ONCE):
            self._before, self._started, self._first = done, now, None
        elif self._first is None and done > self._before:
            self._first = done, now
        self.done, self.total, self._now = done, total, now

    @property
    def took(self) -> float:
        """Return the seconds from the start of the stage to the latest report."""
        return self._now - self._started

    @property
    def rate(self) -> float | None:
        """Return the speed in items per second, or None while too little was measured to estimate it."""
        if self._first is None:
            return None
        counted, since = self._first
        if self.done > counted and self._now - since >= SOONEST:
            return (self.done - counted) / (self._now - since)
        took, items = self._now - self._started, self.done - self._before
        return items / took if items >= SMALLEST * self.total and took >= SOONEST else None

    def left(self, now: float) -> float | None:
        """Return the estimated seconds that remain at the time `now`, or None while the speed is unknown."""
        rate = self.rate
        return None if rate is None else max(0.0, (self.total - self.done) / rate - (now - self._now))


class Stages:
    """Reports the stages of the work on one model to a progress callback, and records their times.

    Attributes:
        side: name or role of the model, with which the name of every reported stage begins.
        seconds: stage -> wall time in seconds.
    """

    def __init__(self, side: str, progress: Progress | None) -> None:
        self.side = side
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def named(self) -> Progress | None:
        """Return a callback of (what, done, total) that names the model before each stage, or None without progress."""
        if self.progress is None:
            return None
        report = self.progress
        return lambda what, done, total: report(f"{self.side}: {what}", done, total)

    def inside(self, stage: str) -> Count | None:
        """Return a callback of (done, total) for the named stage, or None without progress."""
        if self.progress is None:
            return None
        report = self.progress
        return lambda done, total: report(f"{self.side}: {stage}", done, total)

    def of_towers(self) -> Progress | None:
        """Return a callback of (tower, done, total) for the encoding of texts, or None without progress.

        The tower, "query" or "passage", is the encoder of the texts.
        """
        if self.progress is None:
            return None
        report = self.progress
        return lambda tower, done, total: report(f"{self.side}: encoding {tower} texts", done, total)

    def ended(self, stage: str) -> None:
        """Record that a stage has ended: add the seconds since the end of the previous stage to its time."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
