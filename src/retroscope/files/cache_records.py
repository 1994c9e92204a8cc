"""Record, for each entry of the cache, which models and collection it belongs to, and when it was last used.

The record of the entry NAME is the file `NAME.about.json` in the same folder. The time of the last use is the file's
modification time. An entry is valid without its record, which is used only to list the cache and to choose what to
remove.
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
    """What an entry of the cache was computed from (models, collection, software), and which analysis uses it.

    Attributes:
        models: names of the models.
        collection: name of the collection.
        analysis: name of the analysis that uses the entry, or "" if several analyses use it.
        software: (library, version) pairs. With another version of one of these libraries, the entry is not used.
        form: version of the entry's format. Entries in an older format are not used.
    """

    models: tuple[str, ...] = ()
    collection: str = ""
    analysis: str = ""
    software: tuple[tuple[str, str], ...] = ()
    form: int = 1


@dataclass(frozen=True)
class EntryKind:
    """One kind of cache entry, e.g. representations, with the function that checks its files for damage.

    Attributes:
        name: name of the kind, as it is printed.
        pattern: glob pattern of the paths of such entries below the cache folder.
        form: version of the format that this version of Retroscope writes.
        recorded: whether every entry in this format has a record of its origin.
        damages: function that returns the damaged files of an entry.
    """

    name: str
    pattern: str
    form: int
    recorded: bool
    damages: Callable[[Path], list[Path]]


def damaged_file(file: Path) -> list[Path]:
    """Return [file] if the file is missing or does not match the checksum in its last line, else []."""
    try:
        read_checked(file, "")
    except DamageError:
        return [file]
    return []


def damaged_windows(folder: Path) -> list[Path]:
    """Return the files `*.npy` of a folder that do not match their checksums."""
    return [damaged for file in sorted(folder.glob("*.npy")) for damaged in damaged_file(file)]


@cache
def versions(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return (library, installed version) for each of these libraries, which must be installed."""
    return tuple((name, version(name)) for name in names)


def installed(name: str) -> str:
    """Return the installed version of a library, or "" if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def used(entry: Path, origin: CacheOrigin) -> None:
    """Record that a cache entry is in use now. The first use also records its origin."""
    record = record_of(entry)
    with suppress(OSError):  # a read-only cache can be used, too
        if record.exists():
            os.utime(record)
        else:
            write_document(record, {"schema": SCHEMA, **_as_values(origin)})


def _as_values(origin: CacheOrigin) -> dict[str, Any]:
    return {**vars(origin), "models": list(origin.models), "software": dict(origin.software)}


def record_of(entry: Path) -> Path:
    """Return the path of the file that records the origin of a cache entry."""
    return entry.with_name(f"{entry.name}{RECORD}")


def origin_of(entry: Path) -> CacheOrigin | None:
    """Return the recorded origin of a cache entry, or None if it has no intact record."""
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
    """Return when a cache entry was last used, in seconds since 1970. Without a record, return when it was changed."""
    record = record_of(entry)
    return (record if record.exists() else entry).stat().st_mtime
