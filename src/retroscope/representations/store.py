"""Stores of vectors on disk: one zarr group per tower, with checksums and a key of the inputs."""

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
    """An open zarr group and its two arrays.

    Attributes:
        vectors: (text, layer, dim): the stored layers of 0 .. L; if `normed`, followed by those of 0 .. L-1 with the
            final norm.
        final: (text, out): final vectors.
        remake: function that computes damaged shards again, given by the positions of their first texts. If None,
            damage is an error.
    """

    group: zarr.Group
    vectors: zarr.Array[Any]
    final: zarr.Array[Any]
    remake: Callable[[Collection[int]], None] | None = None

    @property
    def done(self) -> int:
        """Return the number of texts whose vectors are written."""
        return int(self.attributes["done"])

    @property
    def normed(self) -> bool:
        """Return whether the layers below the last are also stored with the final norm."""
        return bool(self.group.attrs.get("norm_each_layer", False))

    @property
    def depth(self) -> int:
        """Return the number of layers 0 .. L of the model, each counted once, whether stored or not."""
        if "stored_layers" in self.group.attrs:
            return len(self.attributes["layer_names"])
        stored: int = self.vectors.shape[1]
        return (stored + 1) // 2 if self.normed else stored

    @property
    def stored_layers(self) -> tuple[int, ...]:
        """Return the numbers of the layers that are stored, in ascending order."""
        return tuple(self.attributes.get("stored_layers", range(self.depth)))

    @property
    def complete(self) -> bool:
        """Return whether the vectors of all texts are written."""
        return self.done == self.vectors.shape[0]

    @property
    def attributes(self) -> dict[str, Any]:
        """Return the recorded facts about the vectors: key, recipe, layer names, texts done."""
        return dict(self.group.attrs.asdict())

    @property
    def window(self) -> int:
        """Return the number of texts in a shard."""
        return int((self.vectors.shards or self.vectors.chunks)[0])

    @property
    def starts(self) -> range:
        """Return the positions of the first texts of all shards."""
        return range(0, self.vectors.shape[0], self.window)

    @property
    def place(self) -> str:
        """Return the location of the vectors, for messages."""
        return str(self.group.store_path)

    @property
    def _filled(self) -> "list[zarr.Array[Any]]":
        """Return the arrays that have files: `vectors` has none if no layer is stored."""
        return [array for array in (self.vectors, self.final) if array.size]

    def shard_files(self, start: int) -> tuple[str, ...]:
        """Return the names of the files of the shard that starts at a text position."""
        places = ((array, (start // self.window, *([0] * (array.ndim - 1)))) for array in self._filled)
        return tuple(f"{array.basename}/{array.metadata.encode_chunk_key(place)}" for array, place in places)

    def unsound_files(self, start: int) -> list[str]:
        """Read a shard, and return those of its files that are damaged or missing."""
        rows, unsound = slice(start, start + self.window), list[str]()
        for array, file in zip(self._filled, self.shard_files(start), strict=True):
            try:
                self._checked(partial(array.get_basic_selection, rows))
            except RepresentationError:
                unsound.append(file)
        return unsound

    def write_shard(self, start: int, vectors: np.ndarray, final: np.ndarray) -> tuple[str, ...]:
        """Write all texts of a shard over the stored ones, and return the names of its files."""
        files = self.shard_files(start)
        for file in files:  # zarr reads a shard before it writes, and so fails on one that is damaged
            sync(self.group.store.delete(file))
        self.vectors[start : start + len(final)], self.final[start : start + len(final)] = vectors, final
        return files

    def texts(self, rows: Int[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
        """Read all layers and the final vectors of some texts, in the stored number format."""
        vectors = self._sound(rows, lambda: self.vectors.oindex[rows])
        return vectors, self._sound(rows, lambda: self.final.oindex[rows])

    def column(self, k: int | slice | None, rows: slice) -> np.ndarray:
        """Read layer k, several layers, or the final vectors (None) of some texts, in the stored number format."""
        return self._sound(rows, lambda: self.final[rows] if k is None else self.vectors[rows, k])

    def _sound(self, rows: slice | Int[np.ndarray, "n"], read: Callable[[], Any]) -> np.ndarray:
        """Read rows; if damage is found, have the damaged shards computed again and read once more."""
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
    """Return whether a folder is not empty, or a group exists at a URL."""
    if is_url(place):
        return Storage(place).read("zarr.json") is not None
    return Path(place).is_dir() and any(Path(place).iterdir())


def open_store(place: Location, mode: Literal["r", "r+"] = "r") -> VectorStore:
    """Open the store at `place`."""
    try:
        with failures_named(place):
            group = zarr.open_group(zarr_store(place, read_only=mode == "r"), mode=mode)
            store = store_in(group, needs=("key", "done", "layer_names"))
            check_description(group.store, store.attributes)
            return store
    except (OSError, LookupError, ValueError, TypeError, AttributeError) as damage:
        raise RepresentationError(f"this is not a vector store: {damage}", where=str(place), fix=FIX) from damage


def store_in(group: zarr.Group, needs: tuple[str, ...] = ()) -> VectorStore:
    """Return the store in a zarr group.

    Raises:
        ValueError: if the group lacks one of the attributes that are needed, or an array.
    """
    vectors, final = group["vectors"], group["final"]
    lacks = [name for name in needs if name not in group.attrs]
    if lacks:
        raise ValueError(f"the group lacks the attributes {', '.join(lacks)}")
    if not isinstance(vectors, zarr.Array) or not isinstance(final, zarr.Array):
        raise ValueError("`vectors` and `final` of the zarr group must be arrays, not groups")
    return VectorStore(group, vectors, final)


def is_finished(place: Location) -> bool:
    """Return whether the store has the vectors of all its texts, or False if it is damaged."""
    try:
        return store_exists(place) and open_store(place).complete
    except RepresentationError:
        return False
