"""The engine for many machines: actors on a Ray cluster compute the shards of a job and write them to storage.

Ray starts processes on nodes, and reports lost ones. The queue of Retroscope decides which shard is next, which is
tried again and which is done. No vector passes through Ray's object store.
"""

import atexit
import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from retroscope.engine.crew import Crew, Event
from retroscope.engine.queue import Queue
from retroscope.engine.shards import Job, RunTally
from retroscope.errors import EngineError, MissingExtraError, listed
from retroscope.number_format import count
from retroscope.progress import Count

OBJECT_STORE_BYTES = 100 * 2**20  # little more than Ray's least: only texts and reports pass through it
QUIET = {"log_to_driver": False, "configure_logging": False}
ANY = "auto"  # Ray's word for the cluster of this machine
FOLDERS = "rs-ray-"  # of our clusters, in the temporary folder: short, since paths of sockets are
PATIENCE = 1800.0  # seconds without any worker, after which a run gives up


def run_on_ray(job: Job, address: str | None, workers: int | None, progress: Count | None = None) -> RunTally:
    """Compute, on a Ray cluster, the pieces (shards) of a job that are not done yet.

    Return counts and times of the run.

    Args:
        address: address of the cluster. If None, a cluster is started on this machine. It stops with this process.
        workers: how many actors compute shards. If None, as many as fit into the cluster.
        progress: called after every shard with (how many items are done, how many there are).

    Raises:
        EngineError: if nodes have different devices or library versions, if no node has room for a worker, or if shards
            failed in every attempt.
        MissingExtraError: if Ray is not installed.
    """
    ray = _ray()
    queue, tally, started = Queue(job.shards), RunTally(), time.perf_counter()
    with _cluster(ray, address):
        crew = Crew(ray, job, min(workers or _room(ray, job), job.count))
        try:
            _carry_out(crew, queue, tally, job, progress)
        finally:
            crew.dismiss()
    tally.seconds = time.perf_counter() - started
    tally.retried = {name: errors[-1] for name, errors in queue.failures.items() if name not in queue.missing}
    if queue.missing:
        raise EngineError(
            f"{len(queue.missing)} shards (pieces of the work) failed in every attempt; all other shards are done:"
            + listed([f"{name}: {reason}" for name, reason in sorted(queue.missing.items())]),
            where=str(job.ledger.storage.place),
            fix="remove the cause and repeat the command, which computes only the missing shards",
        )
    return tally


def _carry_out(crew: Crew, queue: Queue, tally: RunTally, job: Job, progress: Count | None) -> None:
    report, started = progress or (lambda done, total: None), time.monotonic()
    last_seen = started
    report(0, job.total)
    while not queue.is_finished:
        _give_out(crew, queue)
        for event in crew.events():
            _take_event(event, queue, tally)
            report(tally.done + tally.kept, job.total)
        last_seen = time.monotonic() if crew.at_work else last_seen
        tally.arrived = tally.arrived or (last_seen - started if crew.at_work else 0.0)
        if not crew.members or time.monotonic() - last_seen > PATIENCE:
            raise EngineError(
                f"no worker is left: {(crew.dismissed or tally.lost or ['no worker has started'])[-1]}",
                fix="free resources on the cluster and repeat the command, which keeps the finished shards",
            )


def _give_out(crew: Crew, queue: Queue) -> None:
    """Send shards (pieces of work) to workers until no shard is available, or all workers have enough.

    In each round, every worker gets at most one shard.
    """
    while free := crew.free():
        sent = 0
        for member in free:
            shard = queue.take(member.name)
            if shard is not None:
                crew.give(member, shard)
                sent += 1
        if not sent:
            return


def _take_event(event: Event, queue: Queue, tally: RunTally) -> None:
    if event.lost:
        tally.lost.append(f"{event.member.label}: {event.lost}")
        queue.lost(event.member.name, f"its worker was lost: {event.lost}")
    elif event.shard is not None and event.report is not None:
        if event.report.error:
            queue.failed(event.shard.name, event.report.error)
        else:
            queue.done(event.shard.name)
            tally.computing += event.report.computing
            tally.writing += event.report.writing
            tally.count(event.shard, event.report.standing, event.member.label)


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        return import_module("ray")
    except ImportError as error:
        raise MissingExtraError("the ray engine needs Ray", fix="pip install 'retroscope[ray]'") from error


@contextmanager
def _cluster(ray: Any, address: str | None) -> Iterator[None]:
    """Connect to a cluster while the context is open. Without an address, start one on this machine.

    Raises:
        EngineError: if this process is connected to another cluster already, or no cluster responds at the address.
    """
    if ray.is_initialized():
        _refuse_another(ray, address)
        yield
    elif address:
        try:
            _connect(ray, address)
            yield
        finally:
            ray.shutdown()
    else:
        _start(ray)
        yield


def _refuse_another(ray: Any, address: str | None) -> None:
    connected = ray.get_runtime_context().gcs_address
    if address not in (None, ANY, connected):
        raise EngineError(
            f"this process is already connected to another Ray cluster, at {connected}",
            where=str(address),
            fix="leave out the address to use that cluster, or call ray.shutdown() first",
        )


def _start(ray: Any) -> None:
    """Start a cluster on this machine for all jobs of this process. It stops when the process ends."""
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else Ray keeps one in the home folder
    _remove_left_behind()
    folder = tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-")

    def end() -> None:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    try:
        with _handler_kept():
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=folder,
                _node_ip_address="127.0.0.1",
                **QUIET,
            )
    except Exception as error:  # Ray raises that, among others, where its processes are too slow to start
        raise EngineError(
            f"Ray cannot be started on this machine: {' '.join(str(error).split())[:200]}",
            fix="try again, or use --engine local",
        ) from error


@contextmanager
def _handler_kept() -> Iterator[None]:
    """Restore the process's SIGTERM handler when the context closes, because Ray replaces it."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        # Other threads can set none, Ray neither. None stands for a handler that Python did not set.
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _remove_left_behind() -> None:
    """Remove the temporary folders of clusters that a killed process of Retroscope started."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*-*"):
        owner = folder.name.removeprefix(FOLDERS).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _connect(ray: Any, address: str) -> None:
    try:
        with _handler_kept():
            ray.init(address=address, **QUIET)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise EngineError(
            f"no Ray cluster responds at this address: {' '.join(str(error).split())[:200]}",
            where=address,
            fix="start a cluster with `ray start --head`, and use --engine ray:HOST:PORT, or ray:auto on the head node",
        ) from error


def _room(ray: Any, job: Job) -> int:
    """Return how many workers the cluster's nodes have CPUs or GPUs for.

    Raises:
        EngineError: if no node has enough for one worker.
    """
    kind, need = ("GPU", job.accelerators) if job.accelerators else ("CPU", job.threads)
    nodes = [node["Resources"].get(kind, 0) for node in ray.nodes() if node["Alive"]]
    room = sum(int(has // need) for has in nodes)
    if room < 1:
        raise EngineError(
            f"no node of the cluster has {count(need, kind)}, as a worker needs: the nodes have {nodes}",
            fix=f"use nodes with more {kind}s" + ("" if job.accelerators else ", or fewer threads (OMP_NUM_THREADS)"),
        )
    return room
