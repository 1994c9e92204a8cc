"""Encode a corpus in windows (ranges of consecutive texts). Every worker computes the same bytes for a window."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from retroscope.encoders.encode import LayerVectors, TokenIds, encode_rows, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.random_weights import load_again
from retroscope.encoders.settings import EncoderSource
from retroscope.engine.shards import Shard
from retroscope.engine.storage import Location
from retroscope.errors import RepresentationError
from retroscope.files.cache_records import versions
from retroscope.files.documents import fingerprint
from retroscope.representations.inventory import windows
from retroscope.representations.plan import ExtractionPlan
from retroscope.representations.store import VectorStore, open_store

WindowVectors = tuple[Float[np.ndarray, "text layer dim"], Float[np.ndarray, "text out"]]


@dataclass(frozen=True, eq=False)
class Window:
    """A window, i.e. a range of consecutive texts of a corpus, which one worker encodes.

    Attributes:
        start: position in the corpus of the window's first text.
        texts: the texts of the window.
        first: for each text, the position in the corpus of the first text with the same token ids.
        lengths: how many tokens each text has.
    """

    start: int
    texts: Sequence[str]
    first: Int[np.ndarray, "text"]
    lengths: Int[np.ndarray, "text"]

    @property
    def stop(self) -> int:
        """Return the position in the corpus after the window's last text."""
        return self.start + len(self.texts)


@dataclass(frozen=True)
class WindowFormat:
    """Format of stored vectors, and the batch size of the forward passes that compute them.

    Attributes:
        shape: (how many layer vectors, their dimensions, dimensions of the final vector), as stored for one text.
        kept: indices of the stored layer vectors among all that a forward pass returns.
        dtype: number format of the stored vectors.
        tokens: largest number of padded tokens in one forward pass.
        normed: whether layers below the last are stored twice: without and with the model's final norm.
    """

    shape: tuple[int, int, int]
    kept: tuple[int, ...]
    dtype: str
    tokens: int
    normed: bool


def window_shards(plan: ExtractionPlan, texts: Iterable[str], place: Location) -> Iterator[Shard]:
    """Yield the windows (ranges of texts) of a corpus as shards (units of work).

    If a text of a window repeats a text of an earlier window, the shard of the earlier window must be computed first.

    Raises:
        RepresentationError: if there are more or fewer texts than in the plan.
    """
    first, lengths, total, stop = plan.inventory.first, plan.inventory.lengths, len(plan.inventory.first), 0
    for number, part in enumerate(windows(texts, plan.window)):
        start, stop = stop, stop + len(part)
        if stop > total:
            break
        window = Window(start, part, first[start:stop], lengths[start:stop])
        needs = np.unique(window.first[window.first < start] // plan.window)
        key = window_key(plan.key, window)
        yield Shard(window_name(number), key, len(part), window, tuple(window_name(int(k)) for k in needs))
    if stop != total:
        raise other_texts(f"{'more than' if stop > total else f'{stop} instead of'} {total} texts", place)


def window_key(plan_key: str, window: Window) -> str:
    """Return the key of a window of texts: a hash of the plan's key and of the window's range of positions."""
    return fingerprint([plan_key, window.start, window.stop])


def window_name(number: int) -> str:
    """Return the name of the window of texts with this index, e.g. "00000003" for index 3, the fourth window."""
    return f"{number:08d}"


def other_texts(what: str, place: Location) -> RepresentationError:
    """Return the error for texts that differ from those of the plan. `what` says how."""
    return RepresentationError(
        f"the texts differ from those given to `plan_extraction`: {what}",
        where=str(place),
        fix="pass the same texts to `plan_extraction` and `extract` (a list, or an iterable that can be read again)",
    )


@dataclass(frozen=True, eq=False)
class WindowWorker:
    """Worker that encodes windows (ranges of texts) with one encoder and writes the vectors to one store."""

    encoder: Encoder
    form: WindowFormat
    store: VectorStore

    def compute(self, payload: Window) -> WindowVectors:
        """Return the vectors of those texts of a window that did not occur earlier in the corpus.

        `write` fills the other rows.
        """
        fresh, rows = self.new_rows(payload)
        vectors = encode_rows(self.encoder, rows, self.form.tokens, norm_each_layer=self.form.normed) if rows else None
        return self.laid_out(payload, fresh, vectors)

    def new_rows(self, window: Window) -> tuple[Int[np.ndarray, "row"], list[TokenIds]]:
        """Return the texts of a window that did not occur earlier: their indices in the window, and their token ids.

        Raises:
            RepresentationError: if their lengths differ from those in the plan.
        """
        fresh = np.flatnonzero(window.first == np.arange(window.start, window.stop))
        rows = tokenise(self.encoder, [window.texts[int(i)] for i in fresh])
        if not np.array_equal(list(map(len, rows)), window.lengths[fresh]):
            place = str(self.store.group.store_path)
            raise other_texts(
                f"a text at a position from {window.start} to {window.stop - 1} has another length", place
            )
        return fresh, rows

    def laid_out(self, window: Window, fresh: Int[np.ndarray, "row"], vectors: LayerVectors | None) -> WindowVectors:
        """Return the layer vectors and the final vectors of a window (range of texts), in the stored number format.

        Args:
            fresh: indices in the window of the texts that were encoded. The rows of other texts are not filled yet.
            vectors: vectors of the texts in `fresh`, or None if there are none.
        """
        depth, dim, out = self.form.shape
        layers = np.empty((len(window.texts), depth, dim), dtype=self.form.dtype)
        final = np.empty((len(window.texts), out), dtype=self.form.dtype)
        if vectors is not None:
            layers[fresh], final[fresh] = self._checked(vectors)
        return layers, final

    def write(self, payload: Window, content: WindowVectors) -> tuple[str, ...]:
        """Add the vectors of repeated texts to a window (range of texts), write it, and return its files' names."""
        (layers, final), start, stop = content, payload.start, payload.stop
        first, position = payload.first, np.arange(start, stop)
        earlier = np.flatnonzero(first < start)
        if len(earlier):
            sources, at = np.unique(first[earlier], return_inverse=True)
            before = self.store.texts(sources)  # each earlier shard is read once
            layers[earlier], final[earlier] = before[0][at], before[1][at]
        within = np.flatnonzero((first >= start) & (first < position))
        layers[within], final[within] = layers[first[within] - start], final[first[within] - start]
        return self.store.write_shard(start, layers, final)

    def _kept(self, vectors: LayerVectors) -> Tensor:
        """Return the layer vectors that are stored, in the order of the store."""
        every = vectors.layers.shape[1] == len(self.form.kept)
        return vectors.layers if every else vectors.layers[:, list(self.form.kept)]

    def _checked(self, vectors: LayerVectors) -> WindowVectors:
        """Return vectors in the stored number format, after a check that all values are finite.

        Raises:
            RepresentationError: if a value is NaN or infinite.
        """
        dtype = self.form.dtype
        with np.errstate(over="ignore"):
            layers = self._kept(vectors).numpy().astype(dtype, copy=False)
            final = vectors.final.numpy().astype(dtype, copy=False)
        for name, array in (("vectors of the layers", layers), ("final vectors", final)):
            if not np.isfinite(array).all():
                raise RepresentationError(
                    f"the {name} have NaN or infinite values in {dtype}",
                    where=self.encoder.name,
                    fix="store float32 (extraction.dtype), and compute in float32 or bfloat16 (load.dtype)",
                )
        return layers, final


@dataclass(frozen=True)
class WindowRecruit:
    """Factory that makes, in another process, a worker that encodes windows (ranges of texts).

    Attributes:
        source: name or folder from which the encoder is loaded, and the settings of loading.
        encoder: fingerprint that the loaded encoder must have.
        form: format of the stored vectors.
        place: folder or URL of the store.
        threads: how many threads a forward pass on a CPU uses.
    """

    source: EncoderSource
    encoder: str
    form: WindowFormat
    place: Location
    threads: int

    def hire(self) -> WindowWorker:
        """Load the encoder, open the store, and return the worker.

        Raises:
            RepresentationError: if the loaded encoder has another fingerprint.
        """
        torch.set_num_threads(self.threads)
        encoder = encoder_again(self.source, self.encoder)
        return WindowWorker(encoder, self.form, open_store(self.place, mode="r+"))

    def equipment(self) -> Mapping[str, str]:
        """Return the kind of device and the library versions of this machine."""
        return equipment(self.source.settings.device)


def encoder_again(source: EncoderSource, planned: str) -> Encoder:
    """Load an encoder in the process of a worker.

    Args:
        planned: fingerprint that it must have.

    Raises:
        RepresentationError: if the loaded encoder has another fingerprint.
    """
    encoder = load_again(source)
    if encoder.fingerprint != planned:
        raise RepresentationError(
            f"this worker loaded another model than planned: the fingerprint is {encoder.fingerprint[:12]}, "
            f"not {planned[:12]}",
            where=source.source,
            fix="copy the same model folder to all machines",
        )
    return encoder


def equipment(device: str) -> dict[str, str]:
    """Return the kind of device and the library versions, which determine a vector's bits in addition to the model."""
    kind = torch.device(device)
    if kind.type == "cuda":
        name = torch.cuda.get_device_name(kind)
    else:
        name = f"{kind.type} {torch.backends.cpu.get_cpu_capability()}"
    return {"device": name, **dict(versions(("torch", "transformers", "tokenizers")))}
