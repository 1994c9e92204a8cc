"""The queue of shards (pieces of work): which one a worker computes next, and which are retried or given up.

The queue computes nothing itself.
"""

from collections.abc import Iterable

from retroscope.engine.shards import Shard

ATTEMPTS = 3  # of a shard, before it is given up
LOOKAHEAD = 256  # shards that may wait for others, before no more are read


class Queue:
    """Queue of a job's pieces of work (shards). A shard is waiting, at a worker, done, or given up (`missing`).

    Attributes:
        missing: reasons by name of the shard: its last error, or the missing shard that it needs.
        failures: errors of all failed attempts, by name of the shard.
    """

    def __init__(self, shards: Iterable[Shard], attempts: int = ATTEMPTS, lookahead: int = LOOKAHEAD) -> None:
        """Make a queue of pieces of work (shards), none of which is done.

        Args:
            shards: the shards. Each comes after the shards that it needs. They are read one by one.
            attempts: how many attempts a shard has.
            lookahead: how many shards may wait for others before no more shards are read.
        """
        self._stream = iter(shards)
        self._attempts, self._lookahead = attempts, lookahead
        self._exhausted = False
        self._waiting: dict[str, Shard] = {}  # in the order in which they came
        self._assigned: dict[str, tuple[Shard, str]] = {}
        self._done: set[str] = set()
        self.missing: dict[str, str] = {}
        self.failures: dict[str, list[str]] = {}

    @property
    def is_finished(self) -> bool:
        """Return whether every shard is done or given up."""
        return self._exhausted and not self._waiting and not self._assigned

    def take(self, worker: str) -> Shard | None:
        """Return the first waiting shard that can be computed now, and assign it to `worker`.

        Return None if there is none. A shard can be computed when all shards that it needs are done.
        """
        shard = next((shard for shard in self._waiting.values() if self._is_ready(shard)), None)
        while shard is None and not self._exhausted and len(self._waiting) < self._lookahead:
            shard = self._read()
        if shard is not None:
            del self._waiting[shard.name]
            self._assigned[shard.name] = shard, worker
        return shard

    def done(self, name: str) -> None:
        """Mark a shard as done."""
        self._assigned.pop(name, None)
        self._done.add(name)

    def failed(self, name: str, error: str) -> None:
        """Record that an attempt to compute a shard failed.

        It is tried again, or given up with all shards that need it.
        """
        shard, _ = self._assigned.pop(name)
        errors = self.failures.setdefault(name, [])
        errors.append(error)
        if len(errors) < self._attempts:
            self._waiting = {name: shard, **self._waiting}
        else:
            self._give_up(shard, f"{len(errors)} attempts, the last: {error}")

    def lost(self, worker: str, error: str) -> None:
        """Record a failed attempt for every shard at a lost worker, because one of them may have caused the loss."""
        for name in [name for name, (_, holder) in self._assigned.items() if holder == worker]:
            self.failed(name, error)

    def _read(self) -> Shard | None:
        """Read the next shard of the job, and return it if it needs no unfinished shard.

        Otherwise return None: the shard waits, or is marked as missing if a shard that it needs is missing.
        """
        shard = next(self._stream, None)
        if shard is None:
            self._exhausted = True
            return None
        lacking = self._lacks(shard)
        if lacking is not None:
            self._give_up(shard, f"needs shard {lacking}, which is missing")
            return None
        self._waiting[shard.name] = shard
        return shard if self._is_ready(shard) else None

    def _is_ready(self, shard: Shard) -> bool:
        return self._done.issuperset(shard.needs)

    def _lacks(self, shard: Shard) -> str | None:
        return next((name for name in shard.needs if name in self.missing), None)

    def _give_up(self, shard: Shard, reason: str) -> None:
        self.missing[shard.name] = reason
        for waiting in list(self._waiting.values()):
            if waiting.name in self._waiting and shard.name in waiting.needs:
                del self._waiting[waiting.name]
                self._give_up(waiting, f"needs shard {shard.name}, which is missing")
