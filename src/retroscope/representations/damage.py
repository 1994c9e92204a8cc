"""Detect damaged or missing files of stored vectors when they are read."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from retroscope.errors import RepresentationError
from retroscope.files.checksums import UNREADABLE, checksum

GROUP, ARRAYS = "zarr.json", ("vectors", "final")
CHECKSUM = "checksum"  # attribute of the group: of all that describes it and its arrays, but for `done`
FIX = "remove this folder and repeat the command"


@contextmanager
def damage_named(where: str) -> Iterator[None]:
    """Convert errors that zarr raises for a damaged file to `RepresentationError`. `where` is the store."""
    try:
        yield
    except (ValueError, RuntimeError, OSError) as damage:
        if isinstance(damage, OSError) and damage.errno is not None and damage.errno not in UNREADABLE:
            raise
        raise RepresentationError(f"the stored vectors cannot be read: {damage}", where=where, fix=FIX) from damage


def refuse_missing(values: np.ndarray, where: str) -> np.ndarray:
    """Return vectors after a check that none is NaN, because zarr returns NaN for a missing file.

    Raises:
        RepresentationError: if a vector is NaN.
    """
    if np.isnan(values[..., 0]).any():
        raise RepresentationError(
            "some stored vectors are missing: a file was removed, or was never written",
            where=where,
            fix=FIX,
        )
    return values


def description_checksum(store: Store) -> str:
    """Return the checksum of the metadata of a vector store: its key, recipe, layers, shapes and codecs.

    Raises:
        ValueError, KeyError: if a metadata file (`zarr.json`) is not JSON, or is missing.
    """
    group, *arrays = (_json(store, name) for name in (GROUP, *(f"{array}/{GROUP}" for array in ARRAYS)))
    attributes = {name: value for name, value in group["attributes"].items() if name not in (CHECKSUM, "done")}
    return checksum(json.dumps([{**group, "attributes": attributes}, *arrays], sort_keys=True).encode())


def check_description(store: Store, attributes: Mapping[str, Any]) -> None:
    """Check that the metadata of a store match their checksum. Old stores without a checksum are accepted.

    Args:
        attributes: attributes of the zarr group, which contain the checksum.

    Raises:
        ValueError: if the metadata are damaged.
    """
    of_arrays = [_json(store, f"{array}/{GROUP}").get("attributes", {}) for array in ARRAYS]
    if CHECKSUM not in attributes and not any(of_arrays):
        return
    if attributes.get(CHECKSUM) != description_checksum(store):
        raise ValueError("the metadata of the zarr group do not match their checksum")


def _json(store: Store, name: str) -> dict[str, Any]:
    content = sync(store.get(name, default_buffer_prototype()))
    if content is None:
        raise KeyError(name)
    document: dict[str, Any] = json.loads(content.to_bytes())
    return document
