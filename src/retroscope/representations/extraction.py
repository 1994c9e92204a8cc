"""Compute and store every layer's pooled vector of every text: streaming, resumable, with checksums.

Texts are taken in windows of consecutive texts. Inside a window they are batched by length. A window is one shard of
the store, written whole and recorded with its checksums, so a stopped run continues with the missing windows and ends
with the same bytes, whichever worker computes a window. Memory holds two windows, whatever the size of the corpus: one
is written while the model runs on the next.
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
    """Compute, resume or only open the vectors of `texts` in the zarr group at `place`.

    Args:
        plan: made by `plan_extraction` from the same texts.
        ids: one id a text.
        texts: the same texts again, in order. They are read once more.
        place: folder or URL of the group. An existing group must have been made by the same plan.
        progress: receives (texts done, texts in all) after every window.
        engine: where windows are computed. The vectors are the same.

    Returns:
        the layers, with the final norm where the plan includes it. `Representations.bare` has them without.

    Raises:
        RepresentationError: if the folder contains something else, is damaged, or is being written, or if the
            ids or texts are not those of the plan.
        EngineError: if windows are missing after all attempts.
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
    """Return the object that computes damaged windows of the store again."""
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
    """Lock the store of a folder against other runs. An object store needs no lock."""
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
    """Compute the missing windows, then mark the store as finished and remove the shard records."""
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
    """Compute the vectors of a plan, and those of further plans in the same pass over the texts.

    `extract` of each plan opens its store afterwards. If no other plan can share the pass, nothing is done.

    Args:
        beside: other plans that share the pass (`shares_pass`), with the folders of their stores.
    """
    with ExitStack() as locks:
        own, *others = [_locked_store(*each, locks) for each in ((plan, folder), *beside)]
        if own is None:
            return
        store = own.worker.store
        followers = [one for one in others if one and can_follow(one, window_job(plan, texts, folder, store))]
        if followers:
            job = replace(window_job(plan, texts, folder, store), worker=OnePassWorker(own.worker, followers))
            run_here(job, progress)
            store.group.attrs["done"] = job.total
            job.ledger.clear()


def _locked_store(plan: ExtractionPlan, folder: Path, locks: ExitStack) -> StoreBeside | None:
    """Lock and open (or create) the store of a plan, or None if it is finished or another run writes it."""
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
    """Remove the shard records that a killed run left in a finished store."""
    if (folder / RECORDS).exists():
        with suppress(OSError, RepresentationError), _alone(folder):  # a read-only store is as good with them
            Ledger(Storage(folder)).clear()


def window_job(plan: ExtractionPlan, texts: Iterable[str], place: Location, store: VectorStore) -> Job:
    """Return the windows of a plan as a job for an engine."""
    encoder, form = plan.encoder, _form(plan)
    threads = torch.get_num_threads()
    recruit = None
    if encoder.source is not None:
        recruit = WindowRecruit(encoder.source, encoder.fingerprint, form, place, threads)
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
    return Ledger(Storage(place), equipment(str(plan.encoder.device)))
