"""The types of divided work: a shard (one piece of work), a worker, a job, and the counts and times of a run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from retroscope.engine.ledger import Ledger, Standing


@dataclass(frozen=True, eq=False)
class Shard:
    """One piece of work, e.g. some texts to encode. Every worker computes the same bytes from it.

    Attributes:
        name: name of the shard, unique in its job. Its completion record has the same name.
        key: SHA-256 of everything that determines the shard's content.
        size: how many items (e.g. texts) the shard has, for the progress.
        payload: data from which a worker computes the shard. It is sent to the worker, so it should be small.
        needs: names of earlier shards of the job whose files a worker reads to compute this one.
    """

    name: str
    key: str
    size: int
    payload: Any
    needs: tuple[str, ...] = ()


class Worker(Protocol):
    """Interface of a worker, which computes shards one after another in one process."""

    def compute(self, payload: Any) -> Any:
        """Compute the content of a shard without writing it."""

    def write(self, payload: Any, content: Any) -> tuple[str, ...]:
        """Write a shard's content, each file completely or not at all, and return the names of the files."""


class Recruit(Protocol):
    """Interface of a factory that is sent to another process and makes a worker there. It holds no loaded model."""

    def hire(self) -> Worker:
        """Load the models and data of a worker in this process, and return the worker.

        Raises:
            RetroscopeError: if the models or data differ from those of the job, so that the worker would compute other
                bytes.
        """

    def equipment(self) -> Mapping[str, str]:
        """Return the kind of device and the library versions of this machine, which affect the computed bytes, too."""


@dataclass(frozen=True, eq=False)
class Job:
    """A list of shards (pieces of work) with the worker, or the factory of workers, that computes them.

    Attributes:
        ledger: the completion records of the shards.
        shards: the shards. Each comes after the shards that it needs. They are read once.
        total: how many items (e.g. texts) all shards have together.
        count: how many shards there are.
        worker: the worker of this process.
        recruit: factory of workers in other processes. If None, only this process can compute the job.
        accelerators: how many GPUs a worker takes.
        threads: how many threads a worker on a CPU takes.
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
    """Counts and times of a run: how many items were computed, how long it took, and what failed.

    Attributes:
        done: how many items (e.g. texts) this run computed.
        kept: how many items an earlier run had computed.
        seconds: seconds of the whole run.
        arrived: seconds until the first worker was ready.
        computing, writing: seconds that all workers together spent computing and writing.
        by_worker: how many items each worker computed, by the worker's name.
        again: how many shards of an earlier run were computed again, by their state in storage, e.g. damaged.
        lost: name of each lost worker, with the reason.
        retried: last error of each shard that failed at first and was computed later, by the shard's name.
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
        """Add a finished piece of work (shard) to the counts.

        Args:
            standing: state of the shard in storage before this run; `DONE` if it was complete.
        """
        if standing is Standing.DONE:
            self.kept += shard.size
            return
        if standing is not Standing.ABSENT:
            self.again[standing] = self.again.get(standing, 0) + 1
        self.done += shard.size
        self.by_worker[worker] = self.by_worker.get(worker, 0) + shard.size
