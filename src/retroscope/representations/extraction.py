"""Compute and store every layer's pooled vector of every text: streaming, resumable, with checksums.

Texts are taken in windows of consecutive texts; inside a window they are batched by length.
A window is one shard of the store, written whole and recorded with its checksums, so a run that is stopped goes on with
what is missing and ends with the same bytes, whoever computes which window. Memory holds two windows, whatever the size
of the corpus: one is written while the model runs on the next.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from retroscope.encoders.checks.selftest import SENTENCES
from retroscope.encoders.encode import encode_rows, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.token_budgets import encoding_budget
from retroscope.encoders.work import operations
from retroscope.engine.choice import LOCAL, Engine
from retroscope.engine.ledger import RECORDS, Ledger
from retroscope.engine.local import run_here
from retroscope.engine.shards import Job
from retroscope.engine.storage import Location, Storage, is_url
from retroscope.errors import RepresentationError
from retroscope.files.cache_records import versions
from retroscope.files.documents import fingerprint
from retroscope.progress import Count
from retroscope.representations.inventory import Inventory, take_inventory
from retroscope.representations.one_pass import OnePassWorker, StoreBeside, can_follow
from retroscope.representations.own_store import create_store, open_own, own_store
from retroscope.representations.place import refuse_other_files, remove_unfinished
from retroscope.representations.repair import Remake, lock_of
from retroscope.representations.settings import ExtractionSettings
from retroscope.representations.store import Representations, VectorStore, open_store, store_exists
from retroscope.representations.windows import (
    WindowFormat,
    WindowRecruit,
    WindowWorker,
    equipment,
    other_texts,
    window_shards,
)

VERSION = 1  # raise it when a change here changes a vector
SOFTWARE = ("torch", "transformers", "tokenizers")  # whose versions are in the key
WINDOW_BYTES = 64 * 2**20  # vectors held in memory at a time
WINDOW_TEXTS = (32, 256)  # the least and the most texts of a window
ON_ACCELERATOR = 8  # times as many, where a batch takes more texts


@dataclass(frozen=True, eq=False)
class ExtractionPlan:
    """Plan of an extraction: its key, size and batches, which are known before it starts.

    Attributes:
        key: SHA-256 of weights, architecture, recipe, texts, number format and code version.
        n_bytes: size of the vectors on disk, before compression.
        shape: (layers, dim, out) of one text's vectors; layers below the last count twice if they are also stored with
            the final norm.
        window: number of texts in one shard.
        tokens: number of padded tokens in one forward pass.
    """

    encoder: Encoder
    inventory: Inventory
    settings: ExtractionSettings
    key: str
    n_bytes: int
    shape: tuple[int, int, int]
    window: int
    tokens: int

    @property
    def normed(self) -> bool:
        """Return whether the layers below the last are stored with the final norm, too."""
        return _normed(self.encoder, self.settings)

    @property
    def operations(self) -> float:
        """Count the floating point operations of encoding every distinct text."""
        return operations(self.encoder, self.inventory.distinct_lengths)

    @property
    def operations_each(self) -> float:
        """Return the mean floating point operations for one text, repeated texts included."""
        lengths = self.inventory.lengths
        return operations(self.encoder, lengths) / len(lengths)


def plan_extraction(encoder: Encoder, texts: Iterable[str], settings: ExtractionSettings) -> ExtractionPlan:
    """Read the texts once, and plan their extraction."""
    return plan_inventory(encoder, take_inventory(encoder, texts), settings)


def plan_inventory(encoder: Encoder, inventory: Inventory, settings: ExtractionSettings) -> ExtractionPlan:
    """Plan the extraction of texts that are already tokenised as an inventory."""
    normed = _normed(encoder, settings)
    shape = depth, dim, out = _shape(encoder, normed)
    row = (depth * dim + out) * np.dtype(settings.dtype).itemsize
    n = len(inventory.first)
    tokens = settings.batch_tokens or encoding_budget(encoder.device)
    most = WINDOW_TEXTS[1] * (1 if encoder.device.type == "cpu" else ON_ACCELERATOR)
    window = min(int(np.clip(WINDOW_BYTES // row, WINDOW_TEXTS[0], most)), n)
    made_of: dict[str, object] = {
        "encoder": encoder.fingerprint,
        "texts": inventory.fingerprint,
        "dtype": settings.dtype,
        "batches": [tokens, window],  # float rounding depends on the batch
        "code": [VERSION, *(number for _, number in versions(SOFTWARE))],
        "device": encoder.device.type,
    }
    if normed:  # nothing else changes for models without a final norm: their stores stay what they are
        made_of["norm_each_layer"] = True
    key = fingerprint(made_of)
    return ExtractionPlan(encoder, inventory, settings, key, row * n, shape, window, tokens)


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
        texts: the same texts again, in order; they are read once more.
        place: folder or URL of the group; an existing group must have been made by the same plan.
        progress: receives (texts done, texts in all) after every window.
        engine: where windows are computed; the vectors are the same.

    Returns:
        the layers, with the final norm where the plan includes it; `Representations.bare` has them without.

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
    return WindowFormat(plan.shape, plan.settings.dtype, plan.tokens, plan.normed)


@contextmanager
def _alone(place: Location) -> Iterator[None]:
    """Lock the store of a folder against other runs; an object store needs no lock."""
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
    """Lock and open (or create) the store of a plan; None if it is finished or another run writes it."""
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


def _normed(encoder: Encoder, settings: ExtractionSettings) -> bool:
    return settings.norm_each_layer and encoder.anatomy.post_norm


def _shape(encoder: Encoder, normed: bool) -> tuple[int, int, int]:
    """Return (layers, dim, out) of one text's vectors, from one short forward pass."""
    probe = encode_rows(encoder, tokenise(encoder, SENTENCES[:1]), norm_each_layer=normed)
    return probe.layers.shape[1], probe.layers.shape[2], probe.final.shape[1]
