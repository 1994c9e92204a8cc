"""Compute and store every layer's pooled vector of every text: streaming, resumable, with checksums.

The texts are divided into windows of consecutive texts. Inside a window they are batched by length. A window is one
shard of the store: it is written completely, and recorded with its checksums. A stopped run therefore continues with
the missing windows. The stored bytes do not depend on the worker that computes a window. Memory holds two windows for
any size of the corpus: one is written while the model runs on the next.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from retroscope.engine.choice import LOCAL, Engine
from retroscope.engine.ledger import RECORDS, Ledger
from retroscope.engine.local import run_here
from retroscope.engine.shards import Job
from retroscope.engine.storage import Location, Storage, is_url
from retroscope.errors import RepresentationError
from retroscope.progress import Count
from retroscope.representations.one_pass import OnePassWorker, StoreBeside, can_follow
from retroscope.representations.own_store import create_store, open_own, own_store
from retroscope.representations.place import refuse_other_files, remove_unfinished
from retroscope.representations.plan import ExtractionPlan
from retroscope.representations.repair import Remake, lock_of
from retroscope.representations.store import VectorStore, open_store, store_exists
from retroscope.representations.vectors import Representations
from retroscope.representations.windows import (
    WindowFormat,
    WindowRecruit,
    WindowWorker,
    equipment,
    other_texts,
    window_shards,
)


def extract(
    plan: ExtractionPlan,
    ids: Sequence[str],
    texts: Iterable[str],
    place: Location,
    progress: Count | None = None,
    *,
    engine: Engine = LOCAL,
) -> Representations:
    """Return the vectors of `texts` at every layer, after computing and storing those that the store at `place` lacks.

    Args:
        plan: plan that `plan_extraction` made from the same texts.
        ids: id of each text.
        texts: the texts of the plan, in the same order. They are read again.
        place: folder or URL of the store. An existing store must belong to the same plan.
        progress: called after every window with (how many texts are done, how many there are).
        engine: where the vectors are computed. It does not change them.

    Returns:
        the vectors of every layer. If the plan also stores the layers below the last with the final norm, they are
        returned with this norm. `Representations.bare` returns them without it.

    Raises:
        RepresentationError: if the folder has other files or a damaged store, if another run writes to it, or if ids or
            texts are not those of the plan.
        EngineError: if the vectors of some texts could not be computed in any attempt.
    """
    if len(ids) != len(plan.inventory.first):
        raise other_texts(f"{len(ids)} ids for {len(plan.inventory.first)} texts", place)
    if not is_url(place):
        refuse_other_files(Path(place))
    if not store_exists(place):
        create_store(plan, place)
    if not own_store(plan, place).complete:  # a finished store is read only: no lock, any number of readers
        with _alone(place):
            _fill(plan, texts, place, engine, progress)
    elif not is_url(place):
        _tidy(Path(place))
    store = replace(open_store(place), remake=_remake(plan, texts, place))
    return Representations(ids, store, normed=plan.normed)


def _remake(plan: ExtractionPlan, texts: Iterable[str], place: Location) -> Remake:
    """Return a function that computes damaged windows (ranges of texts) of a plan's store again."""
    first = plan.inventory.first

    def sources(start: int) -> list[int]:
        repeated = first[start : start + plan.window]
        return [int(k) * plan.window for k in np.unique(repeated[repeated < start] // plan.window)]

    def write(store: VectorStore, wanted: Collection[int]) -> None:
        worker = _worker(plan, store)
        for shard in window_shards(plan, texts, place):
            if shard.payload.start in wanted:
                worker.write(shard.payload, worker.compute(shard.payload))

    return Remake(place, sources, write)


def _form(plan: ExtractionPlan) -> WindowFormat:
    return WindowFormat(plan.shape, plan.kept, plan.settings.dtype, plan.tokens, plan.normed)


@contextmanager
def _alone(place: Location) -> Iterator[None]:
    """Lock a store against other runs while the context is open. An object store is not locked.

    Raises:
        RepresentationError: if another run holds the lock.
    """
    if is_url(place):
        yield
        return
    folder = Path(place)
    try:
        with FileLock(lock_of(folder), timeout=0):
            yield
    except Timeout as busy:
        raise RepresentationError(
            "another run is writing vectors to this folder",
            where=str(folder),
            fix="repeat the command when that run has ended",
        ) from busy


def _fill(plan: ExtractionPlan, texts: Iterable[str], place: Location, engine: Engine, progress: Count | None) -> None:
    """Compute the missing windows (ranges of texts) of a store, and mark the store as finished.

    The completion records of the store are then removed.
    """
    store = open_own(plan, place, "r+")
    if store.complete:  # another run made it while this one waited for the lock
        return
    if not is_url(place):
        remove_unfinished(Path(place))
    job = window_job(plan, texts, place, store)
    engine.run(job, progress)
    store.group.attrs["done"] = job.total
    job.ledger.clear()


def extract_in_one_pass(
    plan: ExtractionPlan,
    texts: Iterable[str],
    folder: Path,
    beside: Sequence[tuple[ExtractionPlan, Path]],
    progress: Count | None = None,
) -> None:
    """Encode the texts once to compute and store the vectors of several plans that share the pass.

    Call `extract` for each plan afterwards, which opens its store. Of the other stores, those are skipped that are
    finished or locked, or that lack texts which the plan's own store has already. If all are skipped, or the plan's own
    store is finished or locked, nothing is computed.

    Args:
        folder: folder of the plan's store.
        beside: other plans that share the pass (see `shares_pass`), with the folders of their stores.
        progress: called after every window with (how many texts are done, how many there are).
    """
    with ExitStack() as locks:
        own, *others = [_locked_store(*each, locks) for each in ((plan, folder), *beside)]
        if own is None:
            return
        store = own.worker.store
        followers = [
            store_beside
            for store_beside in others
            if store_beside and can_follow(store_beside, window_job(plan, texts, folder, store))
        ]
        if followers:
            job = replace(window_job(plan, texts, folder, store), worker=OnePassWorker(own.worker, followers))
            run_here(job, progress)
            store.group.attrs["done"] = job.total
            job.ledger.clear()


def _locked_store(plan: ExtractionPlan, folder: Path, locks: ExitStack) -> StoreBeside | None:
    """Create the store of a plan if needed, lock it and open it. Return None if it is finished or locked already."""
    refuse_other_files(folder)
    if not store_exists(folder):
        create_store(plan, folder)
    if own_store(plan, folder).complete:
        return None
    try:
        locks.enter_context(_alone(folder))
    except RepresentationError:
        return None
    remove_unfinished(folder)
    store = open_own(plan, folder, "r+")
    return StoreBeside(plan, _worker(plan, store), _ledger(plan, folder))


def _tidy(folder: Path) -> None:
    """Remove the completion records from a finished store, if a killed run left them."""
    if (folder / RECORDS).exists():
        with suppress(OSError, RepresentationError), _alone(folder):  # a read-only store is as good with them
            Ledger(Storage(folder)).clear()


def window_job(plan: ExtractionPlan, texts: Iterable[str], place: Location, store: VectorStore) -> Job:
    """Return the job by which an engine computes the vectors of all texts of a plan and writes them to a store."""
    encoder, form = plan.encoder, _form(plan)
    threads = torch.get_num_threads()
    recruit = None
    if encoder.source is not None:
        where = place if is_url(place) else Path(place).absolute()  # workers have a current folder of their own
        recruit = WindowRecruit(encoder.source, encoder.fingerprint, form, where, threads)
    return Job(
        ledger=_ledger(plan, place),
        shards=window_shards(plan, texts, place),
        total=len(plan.inventory.first),
        count=-(-len(plan.inventory.first) // plan.window),
        worker=_worker(plan, store),
        recruit=recruit,
        accelerators=1 if encoder.device.type == "cuda" else 0,
        threads=threads,
    )


def _worker(plan: ExtractionPlan, store: VectorStore) -> WindowWorker:
    return WindowWorker(plan.encoder, _form(plan), store)


def _ledger(plan: ExtractionPlan, place: Location) -> Ledger:
    where = place if is_url(place) else Path(place).absolute()
    return Ledger(Storage(where), equipment(str(plan.encoder.device)))
