"""Work for the tests of the Ray engine: files that are copied, slowly where asked; workers import this module."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retroscope.engine.ledger import Ledger
from retroscope.engine.shards import Job, Recruit, Shard, Worker
from retroscope.engine.storage import Storage

SIZE = 10


@dataclass(frozen=True)
class Copyist:
    """Writes the payload of each shard into a file of its own.

    Attributes:
        seconds: that each takes.
        broken: shards that fail as long as the folder has no file "mended".
        deadly: shards that end the process, until they have been tried once.
        meet: workers that must be there before any of them computes.
        by_node: whether every node says that it is of another kind.
    """

    folder: str
    seconds: float = 0.0
    broken: tuple[int, ...] = ()
    deadly: tuple[int, ...] = ()
    meet: int = 0
    by_node: bool = False

    def hire(self) -> "Copyist":
        return self

    def equipment(self) -> Mapping[str, str]:
        import ray

        return {"device": f"node {ray.get_runtime_context().get_node_id()}" if self.by_node else "any"}

    def compute(self, payload: int) -> bytes:
        meet(self.folder, self.meet)
        time.sleep(self.seconds)
        if payload in self.broken and not Path(self.folder, "mended").exists():
            raise OSError(f"no space left for {payload}")
        tried = Path(self.folder, f"tried-{payload}")
        if payload in self.deadly and not tried.exists():
            tried.touch()
            os._exit(1)
        return f"content of {payload}".encode()

    def write(self, payload: int, content: bytes) -> tuple[str, ...]:
        Storage(self.folder).write(f"files/{payload}", content)
        return (f"files/{payload}",)


def meet(folder: str, workers: int) -> None:
    """Wait until so many processes have come here."""
    place = Path(folder, "met")
    place.mkdir(parents=True, exist_ok=True)
    (place / str(os.getpid())).touch()
    deadline = time.monotonic() + 200
    while len(list(place.iterdir())) < workers and time.monotonic() < deadline:
        time.sleep(0.05)


@dataclass(frozen=True)
class Meeting:
    """Makes workers of another recruit, of which two must be there before any of them computes."""

    recruit: Recruit
    folder: str

    def hire(self) -> "MeetingWorker":
        return MeetingWorker(self.recruit.hire(), self.folder)

    def equipment(self) -> Mapping[str, str]:
        return self.recruit.equipment()


@dataclass(frozen=True)
class MeetingWorker:
    """A worker that waits for another one."""

    worker: Worker
    folder: str

    def compute(self, payload: Any) -> Any:
        meet(self.folder, 2)
        return self.worker.compute(payload)

    def write(self, payload: Any, content: Any) -> tuple[str, ...]:
        return self.worker.write(payload, content)


def copying(folder: Path, n: int = 12, *, needs: Mapping[int, int] | None = None, **work: object) -> Job:
    """A job of `n` shards; `needs`: shard -> an earlier one that it needs."""
    worker = Copyist(str(folder), **work)  # type: ignore[arg-type]
    named = {i: (str(j),) for i, j in (needs or {}).items()}
    shards = [Shard(str(i), f"key {i}", SIZE, i, named.get(i, ())) for i in range(n)]
    return Job(Ledger(Storage(str(folder)), {"device": "any"}), shards, SIZE * n, n, worker, recruit=worker)


def written(folder: Path) -> dict[str, bytes]:
    """All that the shards of a job wrote."""
    return {path.name: path.read_bytes() for path in sorted((folder / "files").iterdir()) if path.suffix != ".partial"}
