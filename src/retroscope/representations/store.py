"""Stores of vectors on disk: one zarr group per tower, with checksums and a key (a hash of model, recipe and texts)."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from jaxtyping import Int
from zarr.core.sync import sync

from retroscope.engine.storage import Location, Storage, failures_named, is_url, zarr_store
from retroscope.errors import RepresentationError
from retroscope.representations.damage import FIX, check_description, damage_named, refuse_missing


@dataclass(frozen=True, eq=False)
class VectorStore:
    """An open vector store: a zarr group with the vectors of all layers and the final vectors.

    Attributes:
        group: the zarr group, whose attributes have the key and the recipe.
        vectors: (text, layer, dim). The stored layers in rising order. If `normed`, they are followed by the same
            layers (except the last) with the final norm.
        final: (text, out). The final vectors, with which the retriever searches.
        remake: function that computes damaged shards again. Its argument is the position of the first text of each such
            shard. If None, reading damaged vectors is an error.
    """

    group: zarr.Group
    vectors: zarr.Array[Any]
    final: zarr.Array[Any]
    remake: Callable[[Collection[int]], None] | None = None

    @property
    def done(self) -> int:
        """Return how many texts have been marked as stored: 0 until the store is finished, then all."""
        return int(self.attributes["done"])

    @property
    def normed(self) -> bool:
        """Return whether layers below the last are stored twice: without and with the model's final norm."""
        return bool(self.group.attrs.get("norm_each_layer", False))

    @property
    def depth(self) -> int:
        """Return how many layers (0..L) the model has, whether they are stored or not: L + 1."""
        if "stored_layers" in self.group.attrs:
            return len(self.attributes["layer_names"])
        stored: int = self.vectors.shape[1]
        return (stored + 1) // 2 if self.normed else stored

    @property
    def stored_layers(self) -> tuple[int, ...]:
        """Return which layers are stored, e.g. (0, 6, 12), in rising order."""
        return tuple(self.attributes.get("stored_layers", range(self.depth)))

    @property
    def complete(self) -> bool:
        """Return whether the store is finished, i.e. has the vectors of all texts."""
        return self.done == self.vectors.shape[0]

    @property
    def attributes(self) -> dict[str, Any]:
        """Return what the store records about its vectors: "key", "recipe", "layer_names", "done" ..."""
        return dict(self.group.attrs.asdict())

    @property
    def window(self) -> int:
        """Return the number of texts in one file (shard) of an array."""
        return int((self.vectors.shards or self.vectors.chunks)[0])

    @property
    def starts(self) -> range:
        """Return the position of the first text of every shard (file)."""
        return range(0, self.vectors.shape[0], self.window)

    @property
    def place(self) -> str:
        """Return the folder or URL of the store, for messages."""
        return str(self.group.store_path)

    @property
    def _filled(self) -> "list[zarr.Array[Any]]":
        """Return the arrays that have files: `vectors` and `final`, or only `final` if no layer is stored."""
        return [array for array in (self.vectors, self.final) if array.size]

    def shard_files(self, start: int) -> tuple[str, ...]:
        """Return the names of the files (one per array) of the shard whose first text has the position `start`."""
        places = ((array, (start // self.window, *([0] * (array.ndim - 1)))) for array in self._filled)
        return tuple(f"{array.basename}/{array.metadata.encode_chunk_key(place)}" for array, place in places)

    def unsound_files(self, start: int) -> list[str]:
        """Read the shard whose first text has the position `start`. Return its files that are damaged or missing."""
        rows, unsound = slice(start, start + self.window), list[str]()
        for array, file in zip(self._filled, self.shard_files(start), strict=True):
            try:
                self._checked(partial(array.get_basic_selection, rows))
            except RepresentationError:
                unsound.append(file)
        return unsound

    def write_shard(self, start: int, vectors: np.ndarray, final: np.ndarray) -> tuple[str, ...]:
        """Write (or overwrite) the shard whose first text has the position `start`, and return the names of its files.

        Args:
            vectors: layer vectors of all texts of the shard.
            final: their final vectors.
        """
        files = self.shard_files(start)
        for file in files:  # zarr reads a shard before it writes, and so fails on one that is damaged
            sync(self.group.store.delete(file))
        self.vectors[start : start + len(final)], self.final[start : start + len(final)] = vectors, final
        return files

    def texts(self, rows: Int[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
        """Return all stored layer vectors and the final vectors of some texts, in the stored number format."""
        vectors = self._sound(rows, lambda: self.vectors.oindex[rows])
        return vectors, self._sound(rows, lambda: self.final.oindex[rows])

    def column(self, k: int | slice | None, rows: slice) -> np.ndarray:
        """Return the vectors of some texts at one or several layers, or their final vectors, as stored.

        Args:
            k: index or slice on the layer axis of `vectors`, or None for the final vectors.
        """
        return self._sound(rows, lambda: self.final[rows] if k is None else self.vectors[rows, k])

    def _sound(self, rows: slice | Int[np.ndarray, "n"], read: Callable[[], Any]) -> np.ndarray:
        """Read rows of the store. If they are damaged, compute their shards again, and read once more.

        Raises:
            RepresentationError: if they are damaged, and the store cannot compute shards again.
        """
        try:
            return self._checked(read)
        except RepresentationError:
            if self.remake is None:
                raise
            places = np.arange(self.vectors.shape[0])[rows]
            self.remake((np.unique(places // self.window) * self.window).tolist())
            return self._checked(read)

    def _checked(self, read: Callable[[], Any]) -> np.ndarray:
        with damage_named(self.place):
            return refuse_missing(np.asarray(read()), self.place)


def store_exists(place: Location) -> bool:
    """Return whether there may be a store: the folder is not empty, or the URL has a zarr group."""
    if is_url(place):
        return Storage(place).read("zarr.json") is not None
    return Path(place).is_dir() and any(Path(place).iterdir())


def open_store(place: Location, mode: Literal["r", "r+"] = "r") -> VectorStore:
    """Open a store after verifying the checksum of its metadata. Mode "r" only reads, "r+" also writes.

    Raises:
        RepresentationError: if there is no store, or its metadata are damaged.
    """
    try:
        with failures_named(place):
            group = zarr.open_group(zarr_store(place, read_only=mode == "r"), mode=mode)
            store = store_in(group, needs=("key", "done", "layer_names"))
            check_description(group.store, store.attributes)
            return store
    except (OSError, LookupError, ValueError, TypeError, AttributeError) as damage:
        raise RepresentationError(f"this is not a vector store: {damage}", where=str(place), fix=FIX) from damage


def store_in(group: zarr.Group, needs: tuple[str, ...] = ()) -> VectorStore:
    """Return an open zarr group as a `VectorStore`, after checking its arrays.

    Args:
        needs: names of attributes that the group must have.

    Raises:
        KeyError, ValueError: if the group lacks an array or one of these attributes.
    """
    vectors, final = group["vectors"], group["final"]
    lacks = [name for name in needs if name not in group.attrs]
    if lacks:
        raise ValueError(f"the group lacks the attributes {', '.join(lacks)}")
    if not isinstance(vectors, zarr.Array) or not isinstance(final, zarr.Array):
        raise ValueError("`vectors` and `final` of the zarr group must be arrays, not groups")
    return VectorStore(group, vectors, final)


def is_finished(place: Location) -> bool:
    """Return whether there is a store with the vectors of all its texts. It is False if its metadata are damaged."""
    try:
        return store_exists(place) and open_store(place).complete
    except RepresentationError:
        return False
