"""Vectors on disk: a zarr group per tower, checksummed, keyed by what made it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float, Int
from zarr.storage import MemoryStore

from retroscope.errors import RepresentationError, listed

Vectors = Float[np.ndarray, "text dim"]


@dataclass(frozen=True, eq=False)
class Representations:
    """The pooled vectors of every layer, for the texts of one tower.

    Attributes:
        ids: id of each text, in the order of the rows.
        group: zarr group with `vectors` (text, layer, dim) and `final` (text, out_dim).
    """

    ids: tuple[str, ...]
    group: zarr.Group

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Labels of layers 0..L."""
        return tuple(self.group.attrs["layer_names"])

    @property
    def n_layers(self) -> int:
        """Number of layers with a vector: blocks + 1."""
        return int(self.group["vectors"].shape[1])

    def layer(self, k: int) -> Vectors:
        """Every text's pooled vector at layer k, float32."""
        return np.asarray(self.group["vectors"][:, k, :], dtype=np.float32)

    def final(self) -> Vectors:
        """Every text's final vector (head and truncation applied): what the retriever searches with."""
        return np.asarray(self.group["final"][:], dtype=np.float32)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Id -> row."""
        return {text_id: row for row, text_id in enumerate(self.ids)}

    def rows(self, ids: Sequence[str]) -> Int[np.ndarray, "n"]:
        """The rows of these ids."""
        unknown = [i for i in ids if i not in self.row_of]
        if unknown:
            raise RepresentationError(f"no vectors for these ids:{listed(unknown)}", fix="represent the whole collection")
        return np.fromiter((self.row_of[i] for i in ids), dtype=np.int64, count=len(ids))


@dataclass(frozen=True, eq=False)
class RetrieverRepresentations:
    """Both towers' vectors of one collection.

    Attributes:
        name: the retriever's.
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


def representations_in_memory(
    ids: Sequence[str], vectors: Float[np.ndarray, "text layer dim"], final: Vectors | None = None
) -> Representations:
    """Representations of arrays already at hand; `final` defaults to the last layer."""
    group = zarr.open_group(MemoryStore(), mode="w")
    group.create_array("vectors", data=vectors.astype(np.float32))
    group.create_array("final", data=(vectors[:, -1] if final is None else final).astype(np.float32))
    group.attrs["layer_names"] = [str(k) for k in range(vectors.shape[1])]
    return Representations(tuple(ids), group)
