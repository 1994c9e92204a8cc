"""Record, for each entry of a cache, what made it and when a run last used it.

A record lies beside its entry, `NAME.about.json`. Its time is that of the last use. An entry is valid without it: the
record is for people, and for choosing what to remove.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from retroscope.errors import AnalysisError, DamageError
from retroscope.files.checksums import read_checked
from retroscope.files.documents import SCHEMA, read_document, write_document

RECORD = ".about.json"  # end of the name of a record; it begins with the name of its entry


@dataclass(frozen=True, kw_only=True)
class CacheOrigin:
    """What an entry of a cache was made from: models, collection, analysis and software.

    Attributes:
        models: names of the models.
        collection: name of the collection.
        analysis: name of its analysis, or "" if several share it.
        software: library -> version, for the libraries whose change makes the entry useless.
        form: number of its format. Entries of an earlier one are useless.
    """

    models: tuple[str, ...] = ()
    collection: str = ""
    analysis: str = ""
    software: tuple[tuple[str, str], ...] = ()
    form: int = 1


@dataclass(frozen=True)
class EntryKind:
    """One kind of cache entry, and the function that finds damage to it.

    Attributes:
        name: name that is printed.
        pattern: pattern of the paths of its entries below the cache.
        form: number of the format that this version writes.
        recorded: whether every entry of today's format has a record of its origin.
        damages: function that lists the damaged files of an entry.
    """

    name: str
    pattern: str
    form: int
    recorded: bool
    damages: Callable[[Path], list[Path]]


def damaged_file(file: Path) -> list[Path]:
    """Return [file] if the checksum at the end of a file shows damage, else []."""
    try:
        read_checked(file, "")
    except DamageError:
        return [file]
    return []


def damaged_windows(folder: Path) -> list[Path]:
    """Return the damaged arrays of a folder."""
    return [damaged for file in sorted(folder.glob("*.npy")) for damaged in damaged_file(file)]


@cache
def versions(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the installed version of each library."""
    return tuple((name, version(name)) for name in names)


def installed(name: str) -> str:
    """Return the installed version of a library, or "" where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def used(entry: Path, origin: CacheOrigin) -> None:
    """Record that a run uses a cache entry. The first use also records the origin."""
    record = record_of(entry)
    with suppress(OSError):  # a read-only cache can be used, too
        if record.exists():
            os.utime(record)
        else:
            write_document(record, {"schema": SCHEMA, **_as_values(origin)})


def _as_values(origin: CacheOrigin) -> dict[str, Any]:
    return {**vars(origin), "models": list(origin.models), "software": dict(origin.software)}


def record_of(entry: Path) -> Path:
    """Return the file that records the origin of a cache entry."""
    return entry.with_name(f"{entry.name}{RECORD}")


def origin_of(entry: Path) -> CacheOrigin | None:
    """Return the origin of a cache entry, or None if it is not recorded."""
    try:
        values = read_document(record_of(entry))
    except (DamageError, AnalysisError):
        return None
    return CacheOrigin(
        models=tuple(values["models"]),
        collection=values["collection"],
        analysis=values["analysis"],
        software=tuple(values["software"].items()),
        form=values["form"],
    )


def last_used(entry: Path) -> float:
    """Return the time of a cache entry's last use (without a record: of its last change), in seconds since 1970."""
    record = record_of(entry)
    return (record if record.exists() else entry).stat().st_mtime
