"""The arrays of a vector store, made empty."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec
from zarr.storage import LocalStore

from retroscope.representations.damage import CHECKSUM, description_checksum


def create_arrays(
    folder: Path,
    *,
    shapes: tuple[tuple[int, int, int], tuple[int, int]],
    window: int,
    dtype: str,
    attrs: Mapping[str, Any],
) -> None:
    """Create a group for `vectors` (text, layer, dim) and `final` (text, out), at `folder`.

    A window of texts is one shard (one file, written atomically); inside it each layer is a
    chunk of its own, so that one layer is read without the others. Every chunk ends in a CRC-32C. Nothing is
    compressed: float32 vectors shrink by 7 %, and decompressing them takes three times as long as reading them
    (`benchmarks/search.py`). Older stores, which are, are read as they are.
    What was not written reads as NaN, never as a plausible zero.
    """
    (n, depth, dim), (_, out) = shapes
    group = zarr.open_group(LocalStore(folder), mode="w-", attributes=dict(attrs))
    arrays: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[str, ...]]] = {
        "vectors": ((n, depth, dim), (window, 1, dim), ("text", "layer", "dim")),
        "final": ((n, out), (window, out), ("text", "out")),
    }
    for name, (shape, chunks, dims) in arrays.items():
        group.create_array(
            name,
            shape=shape,
            chunks=chunks,
            shards=(window, *shape[1:]),
            dtype=dtype,
            fill_value=np.nan,
            serializer=BytesCodec(),
            compressors=(Crc32cCodec(),),
            dimension_names=dims,
            attributes={"key": attrs["key"]},
        )
    group.attrs[CHECKSUM] = description_checksum(group.store)
