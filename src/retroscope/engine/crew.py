"""The workers of a run on Ray: start them, send shards (pieces of work) to them, and replace lost workers."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from retroscope.engine.shards import Job, Shard
from retroscope.engine.station import AT_ONCE, Arrival, ShardReport, Station
from retroscope.errors import EngineError

ATTEMPTS = 3  # to start a worker, one after the other, before the crew is smaller by one
STALLED = 3600.0  # seconds after which a worker that says nothing counts as lost
POLL = 1.0  # seconds


@dataclass(eq=False)
class Member:
    """One worker: a Ray actor with the calls that it has not answered yet.

    Attributes:
        name: name of the worker, e.g. "worker 3".
        actor: handle of the Ray actor.
        attempt: how often Retroscope has tried to start this worker, including the current try; 0 once it is ready.
        host: host name, empty until the worker is ready.
        ready: whether the worker has loaded what it needs.
        calls: unanswered calls: Ray's reference -> (shard, or None for the start of the worker; time of the call).
    """

    name: str
    actor: Any
    attempt: int
    host: str = ""
    ready: bool = False
    calls: dict[Any, tuple[Shard | None, float]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Return the worker's name and host, e.g. "worker 3 on node7"."""
        return f"{self.name} on {self.host}" if self.host else self.name


@dataclass(frozen=True)
class Event:
    """News about one worker: its report on a piece of work (`shard`), or the reason why it was lost (`lost`)."""

    member: Member
    shard: Shard | None = None
    report: ShardReport | None = None
    lost: str = ""


class Crew:
    """All workers of one run on Ray.

    Attributes:
        members: the workers by name.
        dismissed: for each worker that is not replaced, its name and the reason why it could not start.
    """

    def __init__(self, ray: Any, job: Job, size: int) -> None:
        """Start `size` actors. They load their models at the same time, and become ready one after another."""
        self._ray, self._job = ray, job
        self._started = 0
        self._equipment: Mapping[str, str] | None = None
        self.members: dict[str, Member] = {}
        self.dismissed: list[str] = []
        for _ in range(size):
            self._start(1)

    def give(self, member: Member, shard: Shard) -> None:
        """Send a piece of work (shard) to a worker without waiting for its answer."""
        member.calls[member.actor.do.remote(shard)] = shard, time.monotonic()

    def free(self) -> list[Member]:
        """Return the workers that can take another piece of work (shard), idle ones first."""
        ready = [member for member in self.members.values() if member.ready and len(member.calls) < AT_ONCE]
        return sorted(ready, key=lambda member: len(member.calls))

    @property
    def at_work(self) -> int:
        """Return how many workers are ready, i.e. have loaded their models."""
        return sum(member.ready for member in self.members.values())

    def events(self) -> Iterator[Event]:
        """Yield the answers and losses of workers, after waiting at most a second for an answer.

        Lost workers are replaced.
        """
        holders = {reference: member for member in self.members.values() for reference in member.calls}
        answered, _ = self._ray.wait(list(holders), num_returns=1, timeout=POLL) if holders else ([], [])
        for reference in answered:
            member = holders[reference]
            if member.name in self.members:  # its loss was told with another call
                yield from self._answered(member, reference)
        now = time.monotonic()
        for member in list(self.members.values()):
            if any(now - since > STALLED for shard, since in member.calls.values() if shard is not None):
                yield self._lost(member, f"it did not respond for {STALLED:.0f} seconds")

    def dismiss(self) -> None:
        """Stop the actors of all workers at once."""
        for member in self.members.values():
            self._ray.kill(member.actor)
        self.members.clear()

    def _answered(self, member: Member, reference: Any) -> Iterator[Event]:
        shard, _ = member.calls[reference]
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            first = next(iter(str(error).strip().splitlines()), "")
            yield self._lost(member, f"{type(error).__name__}: {first}"[:300])
            return
        del member.calls[reference]
        if isinstance(answer, Arrival):
            self._arrived(member, answer)
        else:
            yield Event(member, shard, answer)

    def _arrived(self, member: Member, arrival: Arrival) -> None:
        """Mark a worker as ready, or remove it if it could not start.

        Raises:
            EngineError: if its kind of device or library versions differ from those of the other workers, or if no
                worker is left.
        """
        member.host = arrival.host
        if arrival.error:
            self._remove(member)
            self.dismissed.append(f"{member.label}: {arrival.error}")
            if not self.members:
                raise EngineError(
                    f"no worker could start: {self.dismissed[-1]}",
                    fix="install the same software and the same models on all nodes",
                )
            return
        planned = {name: version for name, version in self._job.ledger.equipment.items() if name != "device"}
        self._equipment = self._equipment or {"device": arrival.equipment.get("device", ""), **planned}
        differing = [name for name, value in self._equipment.items() if arrival.equipment.get(name) != value]
        if differing:
            differences = ", ".join(
                f"{n} {arrival.equipment.get(n)!r} instead of {self._equipment[n]!r}" for n in differing
            )
            raise EngineError(
                f"the nodes of the cluster differ: {member.label} has {differences}, so its vectors would differ "
                "in their last bits",
                fix="use nodes with the same kind of device and the same library versions",
            )
        member.ready, member.attempt = True, 0

    def _lost(self, member: Member, reason: str) -> Event:
        self._remove(member)
        if member.attempt < ATTEMPTS:
            self._start(member.attempt + 1)
        else:
            self.dismissed.append(f"{member.label}: {reason}")
        return Event(member, lost=reason)

    def _remove(self, member: Member) -> None:
        del self.members[member.name]
        self._ray.kill(member.actor)

    def _start(self, attempt: int) -> None:
        self._started += 1
        job = self._job
        actor_class = self._ray.remote(
            num_cpus=1 if job.accelerators else job.threads,
            num_gpus=job.accelerators,
            max_restarts=0,
            max_concurrency=AT_ONCE,
            scheduling_strategy="SPREAD",
        )(Station)
        member = Member(f"worker {self._started}", actor_class.remote(job.recruit, job.ledger), attempt)
        member.calls[member.actor.prepare.remote()] = None, time.monotonic()
        self.members[member.name] = member
