"""Windows of consecutive texts as shards of work. Their stored bytes do not depend on the worker."""

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
    """A window of consecutive texts, with their repetitions and lengths.

    Attributes:
        start: position of the first text in the corpus.
        first: for each text, the position of the first text of the corpus with the same token ids.
        lengths: number of tokens of each text.
    """

    start: int
    texts: Sequence[str]
    first: Int[np.ndarray, "text"]
    lengths: Int[np.ndarray, "text"]

    @property
    def stop(self) -> int:
        """Return the position after the last text."""
        return self.start + len(self.texts)


@dataclass(frozen=True)
class WindowFormat:
    """Format of stored vectors: shape, number type, and the batch size of forward passes.

    Attributes:
        shape: (layers, dim, out) of one text's stored vectors.
        kept: places of the stored vectors among those that a forward pass gives.
        dtype: number format of the stored vectors.
        tokens: number of padded tokens in one forward pass.
        normed: whether the layers below the last are stored with the final norm, too.
    """

    shape: tuple[int, int, int]
    kept: tuple[int, ...]
    dtype: str
    tokens: int
    normed: bool


def window_shards(plan: ExtractionPlan, texts: Iterable[str], place: Location) -> Iterator[Shard]:
    """Yield the windows of a corpus as shards. A shard depends on those in which its texts occur first.

    Raises:
        RepresentationError: if there are more or fewer texts than planned.
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
    """Return the key of a window's shard, a hash of plan and window."""
    return fingerprint([plan_key, window.start, window.stop])


def window_name(number: int) -> str:
    """Return the name of a window's shard, by its number."""
    return f"{number:08d}"


def other_texts(what: str, place: Location) -> RepresentationError:
    """Return the error for texts that differ from those of the plan."""
    return RepresentationError(
        f"the texts differ from those given to `plan_extraction`: {what}",
        where=str(place),
        fix="give `plan_extraction` and `extract` the same texts (a list, or a stream that starts anew each time)",
    )


@dataclass(frozen=True, eq=False)
class WindowWorker:
    """Worker that encodes windows with one encoder and writes them to one store."""

    encoder: Encoder
    form: WindowFormat
    store: VectorStore

    def compute(self, payload: Window) -> WindowVectors:
        """Encode the texts of one window that did not occur earlier. Rows of repeated texts stay empty."""
        fresh, rows = self.new_rows(payload)
        vectors = encode_rows(self.encoder, rows, self.form.tokens, norm_each_layer=self.form.normed) if rows else None
        return self.laid_out(payload, fresh, vectors)

    def new_rows(self, window: Window) -> tuple[Int[np.ndarray, "row"], list[TokenIds]]:
        """Return the positions and token ids of the window's texts that did not occur earlier."""
        fresh = np.flatnonzero(window.first == np.arange(window.start, window.stop))
        rows = tokenise(self.encoder, [window.texts[int(i)] for i in fresh])
        if not np.array_equal(list(map(len, rows)), window.lengths[fresh]):
            place = str(self.store.group.store_path)
            raise other_texts(f"lengths differ between texts {window.start} and {window.stop}", place)
        return fresh, rows

    def laid_out(self, window: Window, fresh: Int[np.ndarray, "row"], vectors: LayerVectors | None) -> WindowVectors:
        """Return the arrays of a window with the vectors of new texts filled in, in the stored number format."""
        depth, dim, out = self.form.shape
        layers = np.empty((len(window.texts), depth, dim), dtype=self.form.dtype)
        final = np.empty((len(window.texts), out), dtype=self.form.dtype)
        if vectors is not None:
            layers[fresh], final[fresh] = self._checked(vectors)
        return layers, final

    def write(self, payload: Window, content: WindowVectors) -> tuple[str, ...]:
        """Copy the vectors of repeated texts into a window, write it, and return the names of its files."""
        (layers, final), start, stop = content, payload.start, payload.stop
        first, position = payload.first, np.arange(start, stop)
        earlier = np.flatnonzero(first < start)
        if len(earlier):
            sources, at = np.unique(first[earlier], return_inverse=True)
            before = self.store.texts(sources)  # each earlier shard is read once
            layers[earlier], final[earlier] = before[0][at], before[1][at]
        here = np.flatnonzero((first >= start) & (first < position))
        layers[here], final[here] = layers[first[here] - start], final[first[here] - start]
        return self.store.write_shard(start, layers, final)

    def _kept(self, vectors: LayerVectors) -> Tensor:
        """Return the vectors of the layers to store."""
        every = vectors.layers.shape[1] == len(self.form.kept)
        return vectors.layers if every else vectors.layers[:, list(self.form.kept)]

    def _checked(self, vectors: LayerVectors) -> WindowVectors:
        """Return vectors in the stored number format, and refuse infinite or undefined values."""
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
    """Factory that makes a `WindowWorker` in another process.

    Attributes:
        source: where the encoder is loaded from.
        encoder: fingerprint that the loaded encoder must have.
        place: folder or URL of the store.
        threads: number of threads of a forward pass on a CPU.
    """

    source: EncoderSource
    encoder: str
    form: WindowFormat
    place: Location
    threads: int

    def hire(self) -> WindowWorker:
        """Load the encoder, open the store, and return the worker.

        Raises:
            RepresentationError: if the encoder is another one than that of the plan.
        """
        torch.set_num_threads(self.threads)
        encoder = load_again(self.source)
        if encoder.fingerprint != self.encoder:
            raise RepresentationError(
                f"this worker loaded another model than planned: the fingerprint is {encoder.fingerprint[:12]}, "
                f"not {self.encoder[:12]}",
                where=self.source.source,
                fix="copy the same model folder to all machines",
            )
        return WindowWorker(encoder, self.form, open_store(self.place, mode="r+"))

    def equipment(self) -> Mapping[str, str]:
        """Return the kind of device and the library versions on this machine."""
        return equipment(self.source.settings.device)


def equipment(device: str) -> dict[str, str]:
    """Return what else, beside model and text, determines the bits of a vector: kind of device, library versions."""
    kind = torch.device(device)
    if kind.type == "cuda":
        name = torch.cuda.get_device_name(kind)
    else:
        name = f"{kind.type} {torch.backends.cpu.get_cpu_capability()}"
    return {"device": name, **dict(versions(("torch", "transformers", "tokenizers")))}
