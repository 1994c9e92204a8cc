"""The stored vectors of a retriever's texts, by id and layer, from which searches, probes and drift are computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, TypedDict

import numpy as np
import zarr
from jaxtyping import Float, Int
from zarr.storage import MemoryStore

from retroscope.encoders.recipe import RecipeFacts
from retroscope.errors import AnalysisError, RepresentationError, listed
from retroscope.representations.store import VectorStore, store_in

Vectors = Float[np.ndarray, "text dim"]

BLOCK_BYTES = 16 * 2**20  # vectors of one layer that a search holds at a time


@dataclass(frozen=True, eq=False)
class Representations:
    """The pooled vectors of every layer, for the texts of one encoder (query or passage tower).

    Attributes:
        ids: id of each text, in the order of the rows.
        store: the stored vectors.
        normed: whether layers below the last are returned with the model's final norm. The store has them without, too.

    Raises:
        RepresentationError: if there are more or fewer ids than rows, or, when vectors are read, if the store is
            damaged.
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
        """Return the labels of layers 0..L, as charts and tables show them."""
        return tuple(map(str, range(self.n_layers))) if self.normed else tuple(self.store.attributes["layer_names"])

    @property
    def n_layers(self) -> int:
        """Return how many layers the model has: its blocks, and layer 0."""
        return self.store.depth

    def bare(self) -> "Representations":
        """Return the same vectors without the final norm on layers below the last."""
        return replace(self, normed=False)

    def texts(self, rows: Int[np.ndarray, "n"]) -> Float[np.ndarray, "text layer dim"]:
        """Return the vectors of all layers for the texts in these rows, in float32.

        Raises:
            AnalysisError: if some layers are not stored.
        """
        places = [self._place(k) for k in range(self.n_layers)]
        vectors = self.store.texts(rows)[0][:, places]
        return np.asarray(vectors, dtype=np.float32)

    def _place(self, k: int) -> int:
        """Return the index of layer k on the layer axis of the store's array.

        In a store, the layers with the final norm come after those without.

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
        """Return the pooled vector of every text at layer k, 0 .. n_layers - 1, in float32."""
        return self._read(k, slice(None))

    def final(self) -> Vectors:
        """Return the final vector of every text (after head and truncation), with which the retriever searches."""
        return self._read(None, slice(None))

    def final_blocks(self) -> Iterator[Vectors]:
        """Yield the final vectors of all texts in blocks of consecutive rows, for corpora larger than memory.

        Each file of the store is read once.
        """
        for rows in self._blocks(self.store.final):
            yield self._read(None, rows)

    def layer_blocks(self) -> Iterator[Iterator[Vectors]]:
        """Yield, for each block of consecutive rows, an iterator over the vectors of every layer, read one by one.

        A layer of a block takes as much memory as a block of `final_blocks`.
        """
        for k in range(self.n_layers):
            self._place(k)  # a layer that is not stored is an error before anything is read
        for rows in self._blocks(self.store.vectors):
            yield map(partial(self._read, rows=rows), range(self.n_layers))

    def _blocks(self, array: zarr.Array[Any]) -> Iterator[slice]:
        """Yield slices of rows. The vectors of one layer in such a block have about 16 MiB and are whole shards."""
        shard = (array.shards or array.chunks)[0]
        size = max(1, BLOCK_BYTES // (4 * array.shape[-1] * shard)) * shard
        for start in range(0, len(self.ids), size):
            yield slice(start, start + size)

    def _read(self, k: int | None, rows: slice) -> Vectors:
        if k is not None and not 0 <= k < self.n_layers:
            fix = f"give a layer from 0 to {self.n_layers - 1}"
            raise AnalysisError(f"these vectors have no layer {k}", where=self.store.place, fix=fix)
        return np.asarray(self.store.column(None if k is None else self._place(k), rows), dtype=np.float32)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Return the row of each text, by its id."""
        return {text_id: row for row, text_id in enumerate(self.ids)}

    def rows(self, ids: Sequence[str]) -> Int[np.ndarray, "n"]:
        """Return the rows of the texts with these ids.

        Raises:
            RepresentationError: if an id has no vector.
        """
        unknown = [i for i in ids if i not in self.row_of]
        if unknown:
            what = f"there are no stored vectors for these ids:{listed(unknown)}"
            raise RepresentationError(what, where=self.store.place, fix="encode the whole collection")
        return np.fromiter((self.row_of[i] for i in ids), dtype=np.int64, count=len(ids))


class TowerVectorsRecipe(TypedDict):
    """How the vectors of the queries, or those of the passages, were computed, as JSON-like values.

    "vectors" is the key of the store. "texts" is how many texts there are, "distinct" how many distinct texts, and
    "at_max_length" how many texts have the maximum length, i.e. were cut or have exactly this length.
    """

    recipe: RecipeFacts
    fingerprint: str
    vectors: str
    dtype: str
    texts: int
    distinct: int
    at_max_length: int


class VectorsRecipe(TypedDict, total=False):
    """How the vectors of a retriever were computed, as JSON-like values. Empty for vectors from arrays in memory."""

    retriever: str
    similarity: str
    query: TowerVectorsRecipe
    passage: TowerVectorsRecipe
    whitened: str


@dataclass(frozen=True, eq=False)
class RetrieverRepresentations:
    """The vectors of all queries and passages of one collection by one retriever.

    Attributes:
        name: name of the retriever.
        query, passage: vectors of the queries and of the passages.
        similarity: how the retriever compares vectors: "dot" or "cosine".
        recipe: how the vectors were computed: recipes and fingerprints of both towers.
        warnings: reasons to doubt the vectors, e.g. a failed self-test of the model.
    """

    name: str
    query: Representations
    passage: Representations
    similarity: str
    recipe: VectorsRecipe
    warnings: tuple[str, ...] = ()

    def bare(self) -> "RetrieverRepresentations | None":
        """Return the same vectors without the final norm on layers below the last; None if no tower has this norm."""
        if not (self.query.normed or self.passage.normed):
            return None
        return replace(self, query=self.query.bare(), passage=self.passage.bare())


def _listed(layers: Sequence[int]) -> str:
    return f"layers {', '.join(map(str, layers))}" if layers else "only the final vectors"


def representations_in_memory(
    ids: Sequence[str], vectors: Float[np.ndarray, "text layer dim"], final: Vectors | None = None
) -> Representations:
    """Return representations whose vectors are arrays in memory. Without `final`, final vectors are the last layer."""
    group = zarr.open_group(MemoryStore(), mode="w")
    group.create_array("vectors", data=vectors.astype(np.float32))
    group.create_array("final", data=(vectors[:, -1] if final is None else final).astype(np.float32))
    group.attrs["layer_names"] = [str(k) for k in range(vectors.shape[1])]
    return Representations(tuple(ids), store_in(group))
