"""Progress of long work: the two forms of a callback, and a keeper of stages and their times."""

import time
from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Receives (what, done, total): the name of the stage under way, the items done, and the items of the stage."""

Count = Callable[[int, int], None]
"""Receives (done, total) of one stage, which the caller names; what the items are, the function's docs say."""


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
