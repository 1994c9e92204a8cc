"""Progress of long work: who is told, and the time that each stage took."""

import time
from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # (what, done, total)


class Stages:
    """Names the stage under way to a progress display and keeps the time of each."""

    def __init__(self, side: str, progress: Progress | None) -> None:
        self.side = side
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def named(self) -> Progress | None:
        """What a function is given that names its own stages."""
        if self.progress is None:
            return None
        told = self.progress
        return lambda what, done, total: told(f"{self.side}: {what}", done, total)

    def inside(self, stage: str) -> Callable[[int, int], None] | None:
        """What a room is given to report progress within a stage."""
        if self.progress is None:
            return None
        told = self.progress
        return lambda done, total: told(f"{self.side}: {stage}", done, total)

    def of_towers(self) -> Callable[[str, int, int], None] | None:
        """Return what an extraction is given to report the texts of each tower."""
        if self.progress is None:
            return None
        report = self.progress
        return lambda tower, done, total: report(f"{self.side}: encoding {tower} texts", done, total)

    def ended(self, stage: str) -> None:
        """Note the time since the last stage ended."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
