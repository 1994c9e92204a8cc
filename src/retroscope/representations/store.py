"""Vectors on disk: a zarr group per tower, checksummed, keyed by what made it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from jaxtyping import Float, Int
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from retroscope.engine.storage import Location, Storage, failures_named, is_url, zarr_store
from retroscope.errors import AnalysisError, RepresentationError, listed

Vectors = Float[np.ndarray, "text dim"]

BLOCK_BYTES = 192 * 2**20  # vectors that a search holds at a time


@dataclass(frozen=True, eq=False)
class VectorStore:
    """An open zarr group and its two arrays.

    Attributes:
        vectors: (text, layer, dim): layers 0 .. L, and where `normed`, layers 0 .. L-1 with the final norm after them.
        final: (text, out).
    """

    group: zarr.Group
    vectors: zarr.Array[Any]
    final: zarr.Array[Any]

    @property
    def done(self) -> int:
        """Return the number of texts whose vectors are written."""
        return int(self.attributes["done"])

    @property
    def normed(self) -> bool:
        """Return whether the layers below the last are stored with the final norm, too."""
        return bool(self.group.attrs.get("norm_each_layer", False))

    @property
    def depth(self) -> int:
        """Return the number of layers 0 .. L, each counted once."""
        stored: int = self.vectors.shape[1]
        return (stored + 1) // 2 if self.normed else stored

    @property
    def complete(self) -> bool:
        """Return whether the vectors of all texts are written."""
        return self.done == self.vectors.shape[0]

    @property
    def attributes(self) -> dict[str, Any]:
        """Return what is recorded about the vectors: key, recipe, layer names, texts done."""
        return dict(self.group.attrs.asdict())

    def shard_files(self, start: int) -> tuple[str, ...]:
        """Return the names of the files that hold the shard of texts which begins at a position."""
        arrays = (self.vectors, self.final)
        places = [(start // (array.shards or array.chunks)[0], *([0] * (array.ndim - 1))) for array in arrays]
        return tuple(
            f"{array.basename}/{array.metadata.encode_chunk_key(place)}"
            for array, place in zip(arrays, places, strict=True)
        )

    def write_shard(self, start: int, vectors: np.ndarray, final: np.ndarray) -> tuple[str, ...]:
        """Write all texts of a shard in place of what is there, damaged or not; return the names of its files."""
        files = self.shard_files(start)
        for file in files:  # zarr reads a shard before it writes, and so fails on one that is damaged
            sync(self.group.store.delete(file))
        self.vectors[start : start + len(final)], self.final[start : start + len(final)] = vectors, final
        return files

    def texts(self, rows: Int[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
        """Read all layers and the final vectors of some texts, in the stored number format."""
        with _damage_named(self):
            vectors, final = np.asarray(self.vectors.oindex[rows]), np.asarray(self.final.oindex[rows])
        return _written(self, vectors), _written(self, final)

    def column(self, k: int | slice | None, rows: slice) -> np.ndarray:
        """Read layer k, several layers, or the final vectors (None) of some texts, in the stored number format."""
        with _damage_named(self):
            values = np.asarray(self.final[rows] if k is None else self.vectors[rows, k])
        return _written(self, values)


@contextmanager
def _damage_named(store: VectorStore) -> Iterator[None]:
    """Turn what zarr and its codecs raise for a damaged file (checksums included) into our error."""
    try:
        yield
    except (ValueError, RuntimeError, OSError) as damage:
        raise RepresentationError(
            f"the stored vectors cannot be read: {damage}",
            where=str(store.group.store_path),
            fix="remove this folder and run again",
        ) from damage


def _written(store: VectorStore, values: np.ndarray) -> np.ndarray:
    """Refuse rows of NaN, which is how zarr reads a file that is not there."""
    if np.isnan(values[..., 0]).any():
        raise RepresentationError(
            "some of the stored vectors are missing: a file was removed, or they were never written",
            where=str(store.group.store_path),
            fix="remove this folder and run again",
        )
    return values


@dataclass(frozen=True, eq=False)
class Representations:
    """The pooled vectors of every layer, for the texts of one tower.

    Attributes:
        ids: id of each text, in the order of the rows.
        store: the stored vectors.
        normed: whether the layers below the last are read with the model's final norm; the store has them with and
            without.

    Raises:
        RepresentationError: if there is not one id a row, or, on reading, if the store is damaged.
    """

    ids: Sequence[str]
    store: VectorStore
    normed: bool = False

    def __post_init__(self) -> None:
        rows = self.store.vectors.shape[0]
        if len(self.ids) != rows:
            raise RepresentationError(f"{len(self.ids)} ids for {rows} vectors", fix="give one id a text, in order")
        if self.normed and not self.store.normed:
            raise RepresentationError(
                "these vectors were stored without the final norm on every layer",
                where=str(self.store.group.store_path),
                fix="represent the collection again, with norm_each_layer",
            )

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Return the labels of layers 0..L; where all have the final norm, the last has no label of its own for it."""
        return tuple(map(str, range(self.n_layers))) if self.normed else tuple(self.store.attributes["layer_names"])

    @property
    def n_layers(self) -> int:
        """Return the number of layers with a vector: blocks + 1."""
        return self.store.depth

    def bare(self) -> "Representations":
        """Return the layers as the blocks leave them, without the final norm below the last."""
        return replace(self, normed=False)

    def texts(self, rows: Int[np.ndarray, "n"]) -> Float[np.ndarray, "text layer dim"]:
        """Read all layers of some texts, float32."""
        vectors = self.store.texts(rows)[0][:, [self._place(k) for k in range(self.n_layers)]]
        return np.asarray(vectors, dtype=np.float32)

    def _place(self, k: int) -> int:
        """Return where layer k stands in the store: normed ones follow the L + 1 layers."""
        return self.n_layers + k if self.normed and k < self.n_layers - 1 else k

    def layer(self, k: int) -> Vectors:
        """Read every text's pooled vector at layer k of 0 .. n_layers - 1, float32."""
        return self._read(k, slice(None))

    def final(self) -> Vectors:
        """Read every text's final vector (head and truncation applied): what the retriever searches with."""
        return self._read(None, slice(None))

    def final_blocks(self) -> Iterator[Vectors]:
        """Yield the final vectors in consecutive blocks, for corpora beyond memory; each shard is read once."""
        for rows in self._blocks(self.store.final, self.store.final.shape[-1]):
            yield self._read(None, rows)

    def layer_blocks(self) -> Iterator[list[Vectors]]:
        """Yield the vectors of every layer, an array a layer, in blocks as `final_blocks` does."""
        first = self.n_layers - 1 if self.normed else 0  # the last layer stands before the normed ones
        for rows in self._blocks(self.store.vectors, self.n_layers * self.store.vectors.shape[-1]):
            block = self.store.column(slice(first, first + self.n_layers), rows)
            yield [np.asarray(block[:, self._place(k) - first], dtype=np.float32) for k in range(self.n_layers)]

    def _blocks(self, array: zarr.Array[Any], row: int) -> Iterator[slice]:
        """Yield the rows of blocks of about `BLOCK_BYTES`, `row` numbers a text, in whole shards."""
        shard = (array.shards or array.chunks)[0]
        size = max(1, BLOCK_BYTES // (4 * row * shard)) * shard
        for start in range(0, len(self.ids), size):
            yield slice(start, start + size)

    def _read(self, k: int | None, rows: slice) -> Vectors:
        if k is not None and not 0 <= k < self.n_layers:
            raise AnalysisError(f"there is no layer {k}", fix=f"layers go from 0 to {self.n_layers - 1}")
        return np.asarray(self.store.column(None if k is None else self._place(k), rows), dtype=np.float32)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Return id -> row."""
        return {text_id: row for row, text_id in enumerate(self.ids)}

    def rows(self, ids: Sequence[str]) -> Int[np.ndarray, "n"]:
        """Return the rows of these ids."""
        unknown = [i for i in ids if i not in self.row_of]
        if unknown:
            raise RepresentationError(
                f"no vectors for these ids:{listed(unknown)}", fix="represent the whole collection"
            )
        return np.fromiter((self.row_of[i] for i in ids), dtype=np.int64, count=len(ids))


@dataclass(frozen=True, eq=False)
class RetrieverRepresentations:
    """Both towers' vectors of one collection.

    Attributes:
        name: name of the retriever.
        similarity: "dot" or "cosine".
        recipe: JSON-like, both towers' recipes and fingerprints.
        warnings: failed self-tests and the like.
    """

    name: str
    query: Representations
    passage: Representations
    similarity: str
    recipe: dict[str, Any]
    warnings: tuple[str, ...] = ()

    def bare(self) -> "RetrieverRepresentations | None":
        """Return the layers as the blocks leave them; None where they are read so anyway (no final norm on each)."""
        if not (self.query.normed or self.passage.normed):
            return None
        return replace(self, query=self.query.bare(), passage=self.passage.bare())


def store_exists(place: Location) -> bool:
    """Return whether there is anything at a folder, or a group at a URL."""
    return Storage(place).read("zarr.json") is not None if is_url(place) else Path(place).exists()


def open_store(place: Location, mode: Literal["r", "r+"] = "r") -> VectorStore:
    """Open the store at `place`."""
    try:
        with failures_named(place):
            group = zarr.open_group(zarr_store(place, read_only=mode == "r"), mode=mode)
            return _store(group, needs=("key", "done", "layer_names"))
    except (FileNotFoundError, KeyError, ValueError) as damage:
        raise RepresentationError(
            f"this is not a vector store: {damage}", where=str(place), fix="remove this folder and run again"
        ) from damage


def _store(group: zarr.Group, needs: tuple[str, ...] = ()) -> VectorStore:
    vectors, final = group["vectors"], group["final"]
    lacks = [name for name in needs if name not in group.attrs]
    if lacks:
        raise ValueError(f"the group lacks the attributes {', '.join(lacks)}")
    if not isinstance(vectors, zarr.Array) or not isinstance(final, zarr.Array):
        raise ValueError("vectors and final must be arrays")
    return VectorStore(group, vectors, final)


def is_finished(place: Location) -> bool:
    """Return whether the store at `place` has the vectors of all its texts."""
    return store_exists(place) and open_store(place).complete


def representations_in_memory(
    ids: Sequence[str], vectors: Float[np.ndarray, "text layer dim"], final: Vectors | None = None
) -> Representations:
    """Make representations of arrays in memory; `final` defaults to the last layer."""
    group = zarr.open_group(MemoryStore(), mode="w")
    group.create_array("vectors", data=vectors.astype(np.float32))
    group.create_array("final", data=(vectors[:, -1] if final is None else final).astype(np.float32))
    group.attrs["layer_names"] = [str(k) for k in range(vectors.shape[1])]
    return Representations(tuple(ids), _store(group))
