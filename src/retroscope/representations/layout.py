"""The layout of a vector store on disk: its arrays, shards and chunks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from retroscope.engine.storage import Location, Storage
from retroscope.representations.damage import CHECKSUM, description_checksum

ROOT = "zarr.json"  # of the group


def create_arrays(
    place: Location,
    *,
    shapes: tuple[tuple[int, int, int], tuple[int, int]],
    window: int,
    dtype: str,
    attrs: Mapping[str, Any],
) -> None:
    """Create a zarr group with the arrays `vectors` (text, layer, dim) and `final` (text, out) at `place`.

    A window of texts is one zarr shard (one file, written atomically). Each layer in it is a separate chunk, so that
    one layer can be read without the others. Every chunk ends in its checksum (CRC-32C). Nothing is compressed, because
    compression saves only 7 % of float32 vectors, and decompressing takes three times as long as reading
    (`benchmarks/search.py`). Older stores, which are compressed, can still be read. Values that were not written are
    NaN.

    Args:
        shapes: shapes of `vectors` and of `final`.
        window: how many texts a shard has.
        dtype: number format of the vectors.
        attrs: attributes of the group, e.g. the key and the recipe.
    """
    (n, depth, dim), (_, out) = shapes
    buffers: dict[str, Buffer] = {}
    group = zarr.open_group(MemoryStore(buffers), mode="w-", attributes=dict(attrs))
    arrays: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[str, ...]]] = {
        "vectors": ((n, depth, dim), (window, 1, dim), ("text", "layer", "dim")),
        "final": ((n, out), (window, out), ("text", "out")),
    }
    for name, (shape, chunks, dims) in arrays.items():
        group.create_array(
            name,
            shape=shape,
            chunks=chunks,
            shards=(window, *(max(size, 1) for size in shape[1:])),  # of no layer, too
            dtype=dtype,
            fill_value=np.nan,
            serializer=BytesCodec(),
            compressors=(Crc32cCodec(),),
            dimension_names=dims,
            attributes={"key": attrs["key"]},
        )
    group.attrs[CHECKSUM] = description_checksum(group.store)
    storage = Storage(place)
    for name in sorted(buffers, key=lambda name: name == ROOT):  # the root last: without it there is no store
        storage.write(name, buffers[name].to_bytes())
