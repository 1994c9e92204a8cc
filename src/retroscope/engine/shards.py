"""The types of sharded work: a shard, its worker, and the state of its completion. No scheduler is named here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from retroscope.engine.ledger import Ledger, Standing


@dataclass(frozen=True, eq=False)
class Shard:
    """One piece of work: done completely or not at all, by any worker, always with the same bytes.

    Attributes:
        name: name, unique in its job. Its completion record has the same name.
        key: SHA-256 of everything that determines its content.
        size: number of its items, for the progress.
        payload: data that a worker needs to compute it. It is sent to the worker, so it is small.
        needs: names of earlier shards of the job whose files it reads.
    """

    name: str
    key: str
    size: int
    payload: Any
    needs: tuple[str, ...] = ()


class Worker(Protocol):
    """Interface of a worker, which computes shards one after another."""

    def compute(self, payload: Any) -> Any:
        """Compute the content of a shard without writing it."""

    def write(self, payload: Any, content: Any) -> tuple[str, ...]:
        """Write a shard's content, each file completely or not at all, and return the names of the files."""


class Recruit(Protocol):
    """Interface of a factory that makes a worker in another process. It holds names and settings, but no model."""

    def hire(self) -> Worker:
        """Load what a worker needs, and return the worker.

        Raises:
            RetroscopeError: if the loaded worker would not make the same bytes.
        """

    def equipment(self) -> Mapping[str, str]:
        """Return what else determines the bytes on this machine: the kind of device and the library versions."""


@dataclass(frozen=True, eq=False)
class Job:
    """A list of shards with the worker, or the factory of workers, that computes them.

    Attributes:
        ledger: ledger in which completion is recorded.
        shards: the shards, each after the shards that it needs. They are read once.
        total: number of items of all shards.
        count: number of shards.
        worker: the worker of this process.
        recruit: makes a worker in another process. If None, only this process can do the work.
        accelerators: number of GPUs that a worker takes.
        threads: number of threads of a worker on a CPU.
    """

    ledger: Ledger
    shards: Iterable[Shard]
    total: int
    count: int
    worker: Worker
    recruit: Recruit | None = None
    accelerators: int = 0
    threads: int = 1


@dataclass
class RunTally:
    """Tally of a run: items computed and items kept, times, workers and failures.

    Attributes:
        done: number of items in computed shards.
        kept: number of items in shards of an earlier run.
        seconds: seconds of the whole run.
        arrived: seconds until the first worker was ready.
        computing, writing: seconds of all workers together.
        by_worker: worker -> number of items that it computed.
        again: reason why the record of a shard could not be trusted -> number of shards computed again.
        lost: workers that vanished, and why.
        retried: shards that failed at first and were computed later -> their last error.
    """

    done: int = 0
    kept: int = 0
    seconds: float = 0.0
    arrived: float = 0.0
    computing: float = 0.0
    writing: float = 0.0
    by_worker: dict[str, int] = field(default_factory=dict)
    again: dict[Standing, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    retried: dict[str, str] = field(default_factory=dict)

    def count(self, shard: Shard, standing: Standing, worker: str) -> None:
        """Count a finished shard by its previous state and its worker."""
        if standing is Standing.DONE:
            self.kept += shard.size
            return
        if standing is not Standing.ABSENT:
            self.again[standing] = self.again.get(standing, 0) + 1
        self.done += shard.size
        self.by_worker[worker] = self.by_worker.get(worker, 0) + shard.size
