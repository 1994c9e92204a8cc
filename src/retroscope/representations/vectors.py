"""The vectors of texts, by id and layer, as a search, a probe or a test of drift reads them from a store."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypedDict

import numpy as np
import zarr
from jaxtyping import Float, Int
from zarr.storage import MemoryStore

from retroscope.encoders.recipe import RecipeFacts
from retroscope.errors import AnalysisError, RepresentationError, listed
from retroscope.representations.store import VectorStore, store_in

Vectors = Float[np.ndarray, "text dim"]

BLOCK_BYTES = 192 * 2**20  # vectors that a search holds at a time


@dataclass(frozen=True, eq=False)
class Representations:
    """The pooled vectors of every layer, for the texts of one tower.

    Attributes:
        ids: id of each text, in the order of the rows.
        store: the stored vectors.
        normed: whether the layers below the last are read with the model's final norm. The store has both versions.

    Raises:
        RepresentationError: if there is not one id a row, or, on reading, if the store is damaged.
    """

    ids: Sequence[str]
    store: VectorStore
    normed: bool = False

    def __post_init__(self) -> None:
        rows = self.store.vectors.shape[0]
        if len(self.ids) != rows:
            raise RepresentationError(
                f"{len(self.ids)} ids were given for {rows} vectors", fix="give one id for each vector, in their order"
            )
        if self.normed and not self.store.normed:
            raise RepresentationError(
                "these vectors were stored without applying the final norm to every layer",
                where=self.store.place,
                fix="encode the collection again with norm_each_layer=True (extraction.norm_each_layer)",
            )

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Return the labels of layers 0..L."""
        return tuple(map(str, range(self.n_layers))) if self.normed else tuple(self.store.attributes["layer_names"])

    @property
    def n_layers(self) -> int:
        """Return the number of layers with a vector: blocks + 1."""
        return self.store.depth

    def bare(self) -> "Representations":
        """Return the representations in which the layers below the last are without the final norm."""
        return replace(self, normed=False)

    def texts(self, rows: Int[np.ndarray, "n"]) -> Float[np.ndarray, "text layer dim"]:
        """Read all layers of the texts in these rows, in float32.

        Raises:
            AnalysisError: if some layers are not stored.
        """
        places = [self._place(k) for k in range(self.n_layers)]
        vectors = self.store.texts(rows)[0][:, places]
        return np.asarray(vectors, dtype=np.float32)

    def _place(self, k: int) -> int:
        """Return the index of layer k in the store, where layers with the final norm follow the plain ones.

        Raises:
            AnalysisError: if the layer is not stored.
        """
        stored = self.store.stored_layers
        if k not in stored:
            raise AnalysisError(
                f"the vectors of layer {k} are not stored (stored: {_listed(stored)})",
                where=self.store.place,
                fix="encode the texts again with all layers (without --store-layers, extraction.layers: null)",
            )
        return stored.index(k) + (len(stored) if self.normed and k < self.n_layers - 1 else 0)

    def layer(self, k: int) -> Vectors:
        """Read every text's pooled vector at layer k of 0 .. n_layers - 1, float32."""
        return self._read(k, slice(None))

    def final(self) -> Vectors:
        """Read the final vector of every text (after head and truncation), with which the retriever searches."""
        return self._read(None, slice(None))

    def final_blocks(self) -> Iterator[Vectors]:
        """Yield the final vectors in consecutive blocks, for corpora larger than memory. Each shard is read once."""
        for rows in self._blocks(self.store.final, self.store.final.shape[-1]):
            yield self._read(None, rows)

    def layer_blocks(self) -> Iterator[list[Vectors]]:
        """Yield the vectors of every layer, one array per layer, in blocks as in `final_blocks`."""
        places = [self._place(k) for k in range(self.n_layers)]
        first = min(places)  # with `normed` the last layer, which stands before the normed ones
        for rows in self._blocks(self.store.vectors, self.n_layers * self.store.vectors.shape[-1]):
            block = self.store.column(slice(first, first + self.n_layers), rows)
            yield [np.asarray(block[:, place - first], dtype=np.float32) for place in places]

    def _blocks(self, array: zarr.Array[Any], row: int) -> Iterator[slice]:
        """Yield slices of rows for blocks of about `BLOCK_BYTES` that consist of whole shards."""
        shard = (array.shards or array.chunks)[0]
        size = max(1, BLOCK_BYTES // (4 * row * shard)) * shard
        for start in range(0, len(self.ids), size):
            yield slice(start, start + size)

    def _read(self, k: int | None, rows: slice) -> Vectors:
        if k is not None and not 0 <= k < self.n_layers:
            fix = f"give a layer from 0 to {self.n_layers - 1}"
            raise AnalysisError(f"these vectors have no layer {k}", where=self.store.place, fix=fix)
        return np.asarray(self.store.column(None if k is None else self._place(k), rows), dtype=np.float32)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Map text ids to their rows."""
        return {text_id: row for row, text_id in enumerate(self.ids)}

    def rows(self, ids: Sequence[str]) -> Int[np.ndarray, "n"]:
        """Return the rows of these ids."""
        unknown = [i for i in ids if i not in self.row_of]
        if unknown:
            what = f"there are no stored vectors for these ids:{listed(unknown)}"
            raise RepresentationError(what, where=self.store.place, fix="encode the whole collection")
        return np.fromiter((self.row_of[i] for i in ids), dtype=np.int64, count=len(ids))


class TowerVectorsRecipe(TypedDict):
    """How the vectors of one tower were made, as JSON-like values.

    "vectors" is the key of the stored vectors. "texts" counts ids, "distinct" the texts without repetitions, and
    "at_max_length" the distinct texts of at least the maximum length.
    """

    recipe: RecipeFacts
    fingerprint: str
    vectors: str
    dtype: str
    texts: int
    distinct: int
    at_max_length: int


class VectorsRecipe(TypedDict, total=False):
    """How the vectors of a retriever were made, as JSON-like values; empty for vectors made in memory."""

    retriever: str
    similarity: str
    query: TowerVectorsRecipe
    passage: TowerVectorsRecipe
    whitened: str


@dataclass(frozen=True, eq=False)
class RetrieverRepresentations:
    """The stored vectors of both towers of one retriever over one collection.

    Attributes:
        name: name of the retriever.
        similarity: "dot" or "cosine".
        recipe: both towers' recipes and fingerprints.
        warnings: failed self-tests and the like.
    """

    name: str
    query: Representations
    passage: Representations
    similarity: str
    recipe: VectorsRecipe
    warnings: tuple[str, ...] = ()

    def bare(self) -> "RetrieverRepresentations | None":
        """Return both towers' vectors with lower layers without the final norm, or None if none are stored with it."""
        if not (self.query.normed or self.passage.normed):
            return None
        return replace(self, query=self.query.bare(), passage=self.passage.bare())


def _listed(layers: Sequence[int]) -> str:
    """Name stored layers for a message: "layers 0, 6", or "only the final vectors"."""
    return f"layers {', '.join(map(str, layers))}" if layers else "only the final vectors"


def representations_in_memory(
    ids: Sequence[str], vectors: Float[np.ndarray, "text layer dim"], final: Vectors | None = None
) -> Representations:
    """Make representations from arrays in memory; `final` defaults to the last layer."""
    group = zarr.open_group(MemoryStore(), mode="w")
    group.create_array("vectors", data=vectors.astype(np.float32))
    group.create_array("final", data=(vectors[:, -1] if final is None else final).astype(np.float32))
    group.attrs["layer_names"] = [str(k) for k in range(vectors.shape[1])]
    return Representations(tuple(ids), store_in(group))
