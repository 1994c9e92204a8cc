"""Choose an engine: `local`, or `ray` with the address of a cluster."""

from collections.abc import Callable
from dataclasses import dataclass

from retroscope.engine.local import run_here
from retroscope.engine.shards import Job, RunTally
from retroscope.errors import SettingsError, unknown_name
from retroscope.progress import Count

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Engine:
    """The engine that computes the shards: this process, or a Ray cluster.

    Attributes:
        name: "local" (this process) or "ray" (actors of a Ray cluster).
        address: address of the cluster. If None, one is started on this machine for the run.
        workers: number of actors. If None, as many as fit into the cluster.
        told: called with sentences about the run: shards that were computed again, workers that were lost.
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
                "the engine 'local' runs in this process and takes no address and no number of workers",
                fix="leave out the address and `workers` (--workers), or use the engine 'ray' (--engine ray)",
            )
        if self.workers is not None and self.workers < 1:
            raise SettingsError(
                f"workers is {self.workers}, which is too few",
                fix="give at least 1 worker, or leave out `workers` (--workers)",
            )

    def run(self, job: Job, progress: Count | None = None) -> RunTally:
        """Compute all unfinished shards of a job by the chosen engine.

        A job that only this process can compute runs here with either engine.

        Raises:
            EngineError: if some are missing after all attempts. All others are done.
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
    """Return the engine for an option's text: `local`, `ray`, or `ray:ADDRESS`.

    Raises:
        SettingsError: for an unknown name, or a number of workers that the engine cannot have.
    """
    name, _, address = text.partition(":")
    return Engine(name, address or None, workers, told)


def news(tally: RunTally) -> list[str]:
    """Return lines with information about a finished run, e.g. lost workers."""
    again = tally.again.items()
    lines = [f"{count} shards were {standing.value}: they were computed again" for standing, count in again]
    lines += [f"worker lost: {reason}" for reason in tally.lost]
    lines += [f"shard {name} failed, and was done at another attempt: {error}" for name, error in tally.retried.items()]
    if len(tally.by_worker) > 1 or tally.lost:
        rate = tally.done / tally.seconds if tally.seconds else 0.0
        shares = ", ".join(f"{worker} {count:,}" for worker, count in sorted(tally.by_worker.items()))
        lines.append(f"{tally.done:,} items by {len(tally.by_worker)} workers, {rate:,.1f} a second: {shares}")
    return lines
