"""The Ray actor of one worker: it loads the models in its process, and computes the shards (pieces of work) it gets."""

import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from retroscope.engine.ledger import Ledger, Standing
from retroscope.engine.shards import Recruit, Shard, Worker

AT_ONCE = 2  # shards at a station: one is written while the next is computed


@dataclass(frozen=True)
class Arrival:
    """Answer of a starting worker: it is ready, or it could not start because of an error.

    Attributes:
        host: host name of its node.
        equipment: kind of device and library versions of its node.
        error: the error, empty if the worker is ready.
    """

    host: str
    equipment: Mapping[str, str]
    error: str = ""


@dataclass(frozen=True)
class ShardReport:
    """Answer of a worker that has computed a shard (piece of work), or failed to.

    Attributes:
        standing: state of the shard in storage before the worker computed it.
        error: the error, empty if the shard is done.
        computing, writing: how many seconds the worker computed and wrote.
    """

    standing: Standing
    error: str = ""
    computing: float = 0.0
    writing: float = 0.0


class Station:
    """The class of a worker's Ray actor. Its methods return errors instead of raising them."""

    def __init__(self, recruit: Recruit, ledger: Ledger) -> None:
        """Store the completion records and the factory of the worker. `prepare` makes the worker."""
        self._recruit, self._ledger = recruit, ledger
        self._worker: Worker | None = None
        self._computing = threading.Lock()
        self._writer = ThreadPoolExecutor(1, "shards")  # one: what a shard needs of the one before is written first

    def prepare(self) -> Arrival:
        """Make the worker: load its models and data. The answer says whether that succeeded."""
        try:
            equipment = self._recruit.equipment()
            self._ledger = replace(self._ledger, equipment=equipment)
            self._worker = self._recruit.hire()
        except Exception as error:
            return Arrival(socket.gethostname(), {}, described(error))
        return Arrival(socket.gethostname(), equipment)

    def do(self, shard: Shard) -> ShardReport:
        """Compute and write a piece of work (shard) unless storage has it already.

        Return a report with times, or the error.
        """
        try:
            with self._computing:
                standing = self._ledger.standing(shard.name, shard.key)
                if standing is Standing.DONE or self._worker is None:
                    return ShardReport(standing, "" if self._worker else "the station is not ready")
                started = time.perf_counter()
                content = self._worker.compute(shard.payload)
                computing = time.perf_counter() - started
                written = self._writer.submit(self._write, self._worker, shard, content)
            return ShardReport(standing, "", computing, written.result())
        except Exception as error:
            return ShardReport(Standing.ABSENT, described(error))

    def _write(self, worker: Worker, shard: Shard, content: Any) -> float:
        """Write the files of a shard, then its completion record, and return how many seconds that took."""
        started = time.perf_counter()
        self._ledger.complete(shard.name, shard.key, worker.write(shard.payload, content))
        return time.perf_counter() - started


def described(error: BaseException) -> str:
    """Return an error's class and message in one line of at most 400 characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]
