"""Work for the tests of the Ray engine: files that are copied, slowly where asked; workers import this module."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from retroscope.engine.ledger import Ledger
from retroscope.engine.shards import Job, Shard
from retroscope.engine.storage import Storage

SIZE = 10


@dataclass(frozen=True)
class Copyist:
    """Writes the payload of each shard into a file of its own.

    Attributes:
        seconds: that each takes.
        broken: shards that fail as long as the folder has no file "mended".
        deadly: shards that end the process, until they have been tried once.
        by_node: whether every node says that it is of another kind.
    """

    folder: str
    seconds: float = 0.0
    broken: tuple[int, ...] = ()
    deadly: tuple[int, ...] = ()
    by_node: bool = False

    def hire(self) -> "Copyist":
        return self

    def equipment(self) -> Mapping[str, str]:
        import ray

        return {"device": f"node {ray.get_runtime_context().get_node_id()}" if self.by_node else "any"}

    def compute(self, payload: int) -> bytes:
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


def copying(folder: Path, n: int = 12, *, needs: Mapping[int, int] | None = None, **work: object) -> Job:
    """A job of `n` shards; `needs`: shard -> an earlier one that it needs."""
    worker = Copyist(str(folder), **work)  # type: ignore[arg-type]
    named = {i: (str(j),) for i, j in (needs or {}).items()}
    shards = [Shard(str(i), f"key {i}", SIZE, i, named.get(i, ())) for i in range(n)]
    return Job(Ledger(Storage(str(folder)), {"device": "any"}), shards, SIZE * n, worker, recruit=worker)


def written(folder: Path) -> dict[str, bytes]:
    """All that the shards of a job wrote."""
    return {path.name: path.read_bytes() for path in sorted((folder / "files").iterdir()) if path.suffix != ".partial"}
