"""Detect damage of stored vectors when they are read, from errors of zarr and from missing files."""

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
    """Turn errors of zarr and its codecs about a damaged file into a RepresentationError."""
    try:
        yield
    except (ValueError, RuntimeError, OSError) as damage:
        if isinstance(damage, OSError) and damage.errno is not None and damage.errno not in UNREADABLE:
            raise
        raise RepresentationError(f"the stored vectors cannot be read: {damage}", where=where, fix=FIX) from damage


def refuse_missing(values: np.ndarray, where: str) -> np.ndarray:
    """Refuse rows of NaN, which zarr returns for a missing file."""
    if np.isnan(values[..., 0]).any():
        raise RepresentationError(
            "some stored vectors are missing: a file was removed, or was never written",
            where=where,
            fix=FIX,
        )
    return values


def description_checksum(store: Store) -> str:
    """Return the checksum of a group's description: keys, recipe, layers, shapes, codecs.

    Raises:
        ValueError, KeyError: if that is no JSON, or not there.
    """
    group, *arrays = (_json(store, name) for name in (GROUP, *(f"{array}/{GROUP}" for array in ARRAYS)))
    attributes = {name: value for name, value in group["attributes"].items() if name not in (CHECKSUM, "done")}
    return checksum(json.dumps([{**group, "attributes": attributes}, *arrays], sort_keys=True).encode())


def check_description(store: Store, attributes: Mapping[str, Any]) -> None:
    """Refuse a group whose description does not match its checksum.

    Raises:
        ValueError: if it is damaged.
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
