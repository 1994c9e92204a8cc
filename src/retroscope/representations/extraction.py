"""Every layer's pooled vector of every text: streaming, resumable, checksummed.

Texts are taken in windows of consecutive texts; inside a window they are batched by length.
A window is one shard of the store, written whole and atomically, so a run that is stopped
resumes at its last window and ends with the same bytes. Memory holds two windows, whatever the size of the corpus: one
is written while the model runs on the next.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from filelock import FileLock, Timeout
from jaxtyping import Float

from retroscope.documents import fingerprint
from retroscope.encoders.encode import LayerVectors, TokenIds, encode_rows, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.token_budgets import encoding_budget
from retroscope.encoders.work import operations
from retroscope.errors import RepresentationError
from retroscope.kept import versions
from retroscope.progress import Count
from retroscope.representations.inventory import Inventory, take_inventory, windows
from retroscope.representations.own_store import create_store, open_own, own_store
from retroscope.representations.place import is_free, refuse_other_files, root_of, sync_window
from retroscope.representations.repair import Remake, lock_of
from retroscope.representations.store import Representations, VectorStore, open_store

VERSION = 1  # raise it when a change here changes a vector
SOFTWARE = ("torch", "transformers", "tokenizers")  # whose versions are in the key
WINDOW_BYTES = 64 * 2**20  # vectors held in memory at a time
WINDOW_TEXTS = (32, 256)  # the least and the most texts of a window
ON_ACCELERATOR = 8  # times as many, where a batch takes more texts


@dataclass(frozen=True, kw_only=True)
class ExtractionSettings:
    """Settings of an extraction: how vectors are computed and stored.

    Attributes:
        dtype: number format of the stored vectors; they are always computed in the model's own precision.
        batch_tokens: padded tokens of one forward pass; None takes what suits the device.
        norm_each_layer: where the last layer of a model passes through a final norm, store the layers below it with
            that norm, too: only then are they comparable with the last one. Other models are not affected.
    """

    dtype: Literal["float32", "float16"] = "float32"
    batch_tokens: int | None = None
    norm_each_layer: bool = True


@dataclass(frozen=True, eq=False)
class ExtractionPlan:
    """The plan of an extraction: its key, size and batches, known before it starts.

    Attributes:
        key: SHA-256 of weights, architecture, recipe, texts, number format and code version.
        n_bytes: size of the vectors on disk before compression.
        shape: (layers, dim, out) of one text's vectors; layers below the last count twice where they are normed, too.
        window: texts in one shard.
        tokens: padded tokens of one forward pass.
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
        """Count the floating point operations of the forward passes: those of every distinct text."""
        return operations(self.encoder, self.inventory.distinct_lengths)

    @property
    def operations_each(self) -> float:
        """Return the mean operations of encoding one of the texts, repeated ones included."""
        lengths = self.inventory.lengths
        return operations(self.encoder, lengths) / len(lengths)


def _normed(encoder: Encoder, settings: ExtractionSettings) -> bool:
    return settings.norm_each_layer and encoder.anatomy.post_norm


def plan_extraction(encoder: Encoder, texts: Iterable[str], settings: ExtractionSettings) -> ExtractionPlan:
    """Read the texts once and say what encoding them will take."""
    return plan_inventory(encoder, take_inventory(encoder, texts), settings)


def plan_inventory(encoder: Encoder, inventory: Inventory, settings: ExtractionSettings) -> ExtractionPlan:
    """Plan the encoding of the texts of an inventory, which this encoder's tokenizer and recipe made."""
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


def _encode(plan: ExtractionPlan, rows: Sequence[TokenIds]) -> LayerVectors:
    return encode_rows(plan.encoder, rows, plan.tokens, norm_each_layer=plan.normed)


def extract(
    plan: ExtractionPlan, ids: Sequence[str], texts: Iterable[str], folder: Path, progress: Count | None = None
) -> Representations:
    """Make, resume or just open the vectors of `texts` in the zarr group at `folder`.

    Args:
        plan: made by `plan_extraction` from the same texts.
        ids: one id a text.
        texts: the texts again; read once more, in order.
        folder: path of the group; its content must have been made by the same plan.
        progress: receives (texts done, texts in all) after every window.

    Returns:
        the layers, with the final norm where the plan includes it; `Representations.bare` has them without.

    Raises:
        RepresentationError: if the folder has other files, which stay as they are, or is damaged, or is being written,
            or if the ids or texts are not those of the plan.
    """
    if len(ids) != len(plan.inventory.first):
        raise _other_texts(f"{len(ids)} ids for {len(plan.inventory.first)} texts", folder)
    refuse_other_files(folder)
    if is_free(folder):
        create_store(plan, folder)
    if not own_store(plan, folder).complete:  # a finished store is read only: no lock, any number of readers
        _fill_alone(plan, texts, folder, progress)
    return Representations(ids, replace(open_store(folder), remake=_remake(plan, texts, folder)), normed=plan.normed)


def _remake(plan: ExtractionPlan, texts: Iterable[str], folder: Path) -> Remake:
    """Return what makes damaged windows of the store again."""
    first = plan.inventory.first

    def sources(start: int) -> list[int]:
        repeated = first[start : start + plan.window]
        return [int(k) * plan.window for k in np.unique(repeated[repeated < start] // plan.window)]

    def write(window: Sequence[str], start: int, store: VectorStore) -> None:
        _write(plan, _fresh_vectors(plan, window, start, store), start, store)

    return Remake(folder, texts, sources, write)


def _fill_alone(plan: ExtractionPlan, texts: Iterable[str], folder: Path, progress: Count | None) -> None:
    try:
        with FileLock(lock_of(folder), timeout=0):
            remake = replace(_remake(plan, texts, folder), locked=True)
            _fill(plan, texts, replace(open_own(plan, folder, "r+"), remake=remake), progress)
    except Timeout as busy:
        raise RepresentationError(
            "another run is writing these vectors", where=str(folder), fix="wait for it, then run again"
        ) from busy


def _fill(plan: ExtractionPlan, texts: Iterable[str], store: VectorStore, progress: Count | None) -> None:
    total, done, stop = len(plan.inventory.first), store.done, 0
    for partial in root_of(store).rglob("*.partial"):  # as zarr names what a killed run left
        partial.unlink()
    report = progress or (lambda done, total: None)
    report(0, total)
    if done:
        report(done, total)
    written: Future[int] | None = None  # the last window: it is written while the model runs on the next one
    with ThreadPoolExecutor(1, "vectors") as writer:
        for window in windows(texts, plan.window):
            start, stop = stop, stop + len(window)
            if stop > total:
                break
            if stop <= done:
                continue
            vectors = _fresh_vectors(plan, window, start, store)
            if written is not None:
                report(written.result(), total)
            written = writer.submit(_write_next, plan, vectors, start, store)
        if written is not None:
            report(written.result(), total)
    if stop != total:
        raise _other_texts(f"{'more' if stop > total else stop} texts, and {total} were planned", store)


def _other_texts(what: str, place: VectorStore | Path) -> RepresentationError:
    where = str(place if isinstance(place, Path) else place.group.store_path)
    fix = "give `plan_extraction` and `extract` the same texts (a list, or a stream that starts anew each time)"
    return RepresentationError(f"these are not the texts that were planned: {what}", where=where, fix=fix)


def _fresh_vectors(
    plan: ExtractionPlan, window: Sequence[str], start: int, store: VectorStore
) -> tuple[Float[np.ndarray, "text layer dim"], Float[np.ndarray, "text out"]]:
    """Return the vectors of one window, those of inputs that occurred before left empty."""
    fresh = np.flatnonzero(plan.inventory.first[start : start + len(window)] == np.arange(start, start + len(window)))
    depth, dim, out = plan.shape
    layers = np.empty((len(window), depth, dim), dtype=plan.settings.dtype)
    final = np.empty((len(window), out), dtype=plan.settings.dtype)
    if len(fresh):
        rows = tokenise(plan.encoder, [window[int(i)] for i in fresh])
        if not np.array_equal(list(map(len, rows)), plan.inventory.lengths[start + fresh]):
            raise _other_texts(f"lengths differ between texts {start} and {start + len(window)}", store)
        layers[fresh], final[fresh] = _checked(_encode(plan, rows), plan)
    return layers, final


def _write_next(plan: ExtractionPlan, vectors: tuple[np.ndarray, np.ndarray], start: int, store: VectorStore) -> int:
    """Write a window after those before it; return the number of texts that are written."""
    store.group.attrs["done"] = stop = _write(plan, vectors, start, store)
    return stop


def _write(plan: ExtractionPlan, vectors: tuple[np.ndarray, np.ndarray], start: int, store: VectorStore) -> int:
    """Copy the vectors of repeated inputs, write a window, and return the position after it."""
    layers, final = vectors
    stop = start + len(final)
    first, position = plan.inventory.first[start:stop], np.arange(start, stop)
    earlier = np.flatnonzero(first < start)
    if len(earlier):
        sources, place = np.unique(first[earlier], return_inverse=True)
        before = store.texts(sources)  # each earlier shard is read once
        layers[earlier], final[earlier] = before[0][place], before[1][place]
    here = np.flatnonzero((first >= start) & (first < position))
    layers[here], final[here] = layers[first[here] - start], final[first[here] - start]
    for file in store.shard_files(start):  # of a stopped run, or damaged: zarr would read a shard that is not full
        (root_of(store) / file).unlink(missing_ok=True)
    store.vectors[start:stop], store.final[start:stop] = layers, final
    sync_window(store, start)
    return stop


def _checked(vectors: LayerVectors, plan: ExtractionPlan) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors in the stored number format; infinite or undefined ones are an error, not data."""
    with np.errstate(over="ignore"):
        layers = vectors.layers.numpy().astype(plan.settings.dtype, copy=False)
        final = vectors.final.numpy().astype(plan.settings.dtype, copy=False)
    for name, array in (("layers", layers), ("final", final)):
        if not np.isfinite(array).all():
            raise RepresentationError(
                f"{name} hold NaN or infinite values in {plan.settings.dtype}",
                where=plan.encoder.name,
                fix="store float32, and compute in float32 or bfloat16",
            )
    return layers, final


def _shape(encoder: Encoder, normed: bool) -> tuple[int, int, int]:
    """Return (layers, dim, out) of one text's vectors, from one short forward pass."""
    probe = encode_rows(encoder, tokenise(encoder, ["a"]), norm_each_layer=normed)
    return probe.layers.shape[1], probe.layers.shape[2], probe.final.shape[1]
