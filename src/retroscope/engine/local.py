"""The engine of one process: it computes pieces of work (shards) in order, and writes one during the next."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from retroscope.engine.ledger import Standing
from retroscope.engine.shards import Job, RunTally, Shard
from retroscope.progress import Count

HERE = "this process"
Written = Future[tuple[Shard, Standing]]


def run_here(job: Job, progress: Count | None = None) -> RunTally:
    """Compute the pieces (shards) of a job that are not done yet, in order, and return the counts and times of the run.

    An error ends the run, but finished shards stay.

    Args:
        progress: called after every computed shard with (how many items are done, how many there are). The items of an
            earlier run are reported together, before the first computed shard.
    """
    report = progress or (lambda done, total: None)
    tally, started = RunTally(), time.perf_counter()
    report(0, job.total)
    written: Written | None = None
    with ThreadPoolExecutor(1, "shards") as writer:
        for shard in job.shards:
            standing = job.ledger.standing(shard.name, shard.key)
            if standing is Standing.DONE:
                tally.count(shard, standing, HERE)
                continue
            if tally.kept and written is None:
                report(0, job.total)  # the work begins now: checking what is there says nothing about its pace
                report(tally.kept, job.total)
            content = job.worker.compute(shard.payload)
            _count(written, tally, report, job.total)
            written = writer.submit(_write, job, shard, standing, content)
        _count(written, tally, report, job.total)
    if written is None:  # an earlier run, or another job, did all of it
        report(tally.kept, job.total)
    tally.seconds = time.perf_counter() - started
    return tally


def _write(job: Job, shard: Shard, standing: Standing, content: Any) -> tuple[Shard, Standing]:
    """Write the files of a shard, then its completion record."""
    job.ledger.complete(shard.name, shard.key, job.worker.write(shard.payload, content))
    return shard, standing


def _count(written: Written | None, tally: RunTally, report: Count, total: int) -> None:
    """Wait until the shard that is being written (if any) is complete, and add it to the counts of the run."""
    if written is not None:
        tally.count(*written.result(), HERE)
        report(tally.done + tally.kept, total)
