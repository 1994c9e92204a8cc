"""Choose where shards (pieces of work) are computed: engine `local` (this process), or `ray` (a cluster)."""

from collections.abc import Callable
from dataclasses import dataclass

from retroscope.engine.local import run_here
from retroscope.engine.shards import Job, RunTally
from retroscope.errors import SettingsError, unknown_name
from retroscope.number_format import count
from retroscope.progress import Count

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Engine:
    """The engine that computes shards (pieces of a job, e.g. some texts to encode): this process, or a Ray cluster.

    Attributes:
        name: "local" (this process) or "ray" (actors of a Ray cluster).
        address: address of the Ray cluster. If None, a cluster is started on this machine.
        workers: how many actors compute shards. If None, as many as fit into the cluster.
        told: function that is called with sentences about the run, e.g. "worker lost: ...", for the user.
    """

    name: str = "local"
    address: str | None = None
    workers: int | None = None
    told: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise unknown_name("engine", self.name, ENGINES)
        if self.name == "local" and (self.address or self.workers is not None):
            raise SettingsError(
                "the engine 'local' runs in this process, so it takes no cluster address and no number of workers",
                fix="leave out the address and `workers` (--workers), or use the engine 'ray' (--engine ray)",
            )
        if self.workers is not None and self.workers < 1:
            raise SettingsError(
                f"workers is {self.workers}, which is too few",
                fix="give at least 1 worker, or leave out `workers` (--workers)",
            )

    def run(self, job: Job, progress: Count | None = None) -> RunTally:
        """Compute the pieces (shards) of a job that are not done yet, and return the counts and times of the run.

        A job that only this process can compute runs in this process, whichever engine is set.

        Raises:
            EngineError: if some shards failed in every attempt. All other shards are done.
        """
        if self.name == "local" or job.recruit is None:
            tally = run_here(job, progress)
        else:
            from retroscope.engine.ray import run_on_ray

            tally = run_on_ray(job, self.address, self.workers, progress)
        if self.told is not None:
            for line in news(tally):
                self.told(line)
        return tally


LOCAL = Engine()


def engine_of(text: str, workers: int | None = None, told: Callable[[str], None] | None = None) -> Engine:
    """Return the engine that the option `--engine` names: `local`, `ray`, or `ray:ADDRESS`.

    Raises:
        SettingsError: if the name is unknown, if `workers` is below 1, or if the engine `local` has an address or a
            number of workers.
    """
    name, _, address = text.partition(":")
    return Engine(name, address or None, workers, told)


def news(tally: RunTally) -> list[str]:
    """Return sentences about a finished run for the user, e.g. on lost workers or on shards computed again."""
    lines = [
        f"{count(n, 'shard')} {'was' if n == 1 else 'were'} {standing.value}, so {'it was' if n == 1 else 'they were'} "
        "computed again"
        for standing, n in tally.again.items()
    ]
    lines += [f"worker lost: {reason}" for reason in tally.lost]
    lines += [
        f"shard {name} failed, and was computed at another attempt: {error}" for name, error in tally.retried.items()
    ]
    if len(tally.by_worker) > 1 or tally.lost:
        rate = tally.done / tally.seconds if tally.seconds else 0.0
        shares = ", ".join(f"{worker} {n:,}" for worker, n in sorted(tally.by_worker.items()))
        lines.append(f"{tally.done:,} items by {len(tally.by_worker)} workers, {rate:,.1f} a second: {shares}")
    return lines
