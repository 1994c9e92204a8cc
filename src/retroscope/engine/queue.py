"""The queue of shards: decides which worker computes which shard next, and which shards are retried or given up.

The queue itself runs nothing.
"""

from collections.abc import Iterable

from retroscope.engine.shards import Shard

ATTEMPTS = 3  # of a shard, before it is given up
LOOKAHEAD = 256  # shards that may wait for others, before no more are read


class Queue:
    """Queue of a job's shards, each waiting, with a worker, done, or missing.

    Attributes:
        missing: shard that was given up -> its last error, or the missing shard that it needs.
        failures: shard -> errors of its earlier attempts.
    """

    def __init__(self, shards: Iterable[Shard], attempts: int = ATTEMPTS, lookahead: int = LOOKAHEAD) -> None:
        """Start with the shards in an order in which each follows the shards that it needs."""
        self._stream = iter(shards)
        self._attempts, self._lookahead = attempts, lookahead
        self._exhausted = False
        self._waiting: dict[str, Shard] = {}  # in the order in which they came
        self._given: dict[str, tuple[Shard, str]] = {}
        self._done: set[str] = set()
        self.missing: dict[str, str] = {}
        self.failures: dict[str, list[str]] = {}

    @property
    def is_finished(self) -> bool:
        """Return whether every shard is done or missing."""
        return self._exhausted and not self._waiting and not self._given

    def take(self, worker: str) -> Shard | None:
        """Assign the first available shard to a worker, or None if there is none at present."""
        ready = next((shard for shard in self._waiting.values() if self._is_ready(shard)), None)
        while ready is None and not self._exhausted and len(self._waiting) < self._lookahead:
            ready = self._read()
        if ready is not None:
            del self._waiting[ready.name]
            self._given[ready.name] = ready, worker
        return ready

    def done(self, name: str) -> None:
        """Mark a shard as done."""
        self._given.pop(name, None)
        self._done.add(name)

    def failed(self, name: str, error: str) -> None:
        """Take a failed shard back: it waits for another attempt, or is given up with all shards that need it."""
        shard, _ = self._given.pop(name)
        errors = self.failures.setdefault(name, [])
        errors.append(error)
        if len(errors) < self._attempts:
            self._waiting = {name: shard, **self._waiting}
        else:
            self._give_up(shard, f"{len(errors)} attempts, the last: {error}")

    def lost(self, worker: str, error: str) -> None:
        """Take back all shards of a lost worker. Each counts as an attempt, because a shard may be the cause."""
        for name in [name for name, (_, holder) in self._given.items() if holder == worker]:
            self.failed(name, error)

    def _read(self) -> Shard | None:
        """Read the next shard of the job and return it if it is ready. Otherwise let it wait or mark it missing."""
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
