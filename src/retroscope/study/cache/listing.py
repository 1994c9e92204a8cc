"""Print a cache's entries as text and as a JSON document."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from retroscope.files.documents import SCHEMA
from retroscope.number_format import count
from retroscope.study.cache.care import Removed
from retroscope.study.cache.entries import CacheEntry, cache_entries

HEAD = ("kind", "size", "last used", "models", "collection", "analysis", "entry")


class EntryFacts(TypedDict):
    """One cached result (entry) as JSON-like values: its path, kind, size, last use and origin."""

    entry: str
    kind: str
    bytes: int
    used: str
    outdated: bool
    models: list[str]
    collection: str
    analysis: str


class CacheFacts(TypedDict):
    """Entries of a cache, and the paths of damaged files, removed files, and files kept because a run uses them."""

    schema: int
    cache: str
    bytes: int
    entries: list[EntryFacts]
    damaged: list[str] | None
    removed: list[str]
    freed: int
    in_use: list[str]


def cache_document(cache: Path, removed: Removed, damaged: Iterable[Path] | None) -> CacheFacts:
    """Return the JSON document of `cache --json`: the entries of a cache, and the removed or damaged files.

    Args:
        damaged: damaged files, or None if nothing was verified.
    """
    listed = [_record(entry, cache) for entry in cache_entries(cache)]
    return {
        "schema": SCHEMA,
        "cache": str(cache),
        "bytes": sum(entry["bytes"] for entry in listed),
        "entries": listed,
        "damaged": None if damaged is None else [str(path) for path in damaged],
        "removed": [str(path) for path in removed.paths],
        "freed": removed.size,
        "in_use": [str(path) for path in removed.busy],
    }


def _record(entry: CacheEntry, cache: Path) -> EntryFacts:
    origin = entry.origin
    return {
        "entry": entry.path.relative_to(cache).as_posix(),
        "kind": entry.kind.name,
        "bytes": entry.size,
        "used": datetime.fromtimestamp(entry.used, UTC).isoformat(timespec="seconds"),
        "outdated": entry.is_outdated,
        "models": list(origin.models) if origin else [],
        "collection": origin.collection if origin else "",
        "analysis": origin.analysis if origin else "",
    }


def cache_text(document: CacheFacts) -> str:
    """Return the entries as a plain-text table, with their total size and what was removed or is damaged."""
    entries = document["entries"]
    rows = [HEAD, *map(_row, entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    outdated = sum(entry["outdated"] for entry in entries)
    lines = [
        *(lines if entries else ()),
        f"{len(entries)} entries, {in_units(document['bytes'])} in {document['cache']}",
    ]
    if outdated:
        lines.append(f"{outdated} of them were made by other versions of the software: --clean removes them")
    if document["damaged"] is not None:
        lines += [f"damaged: {path}" for path in document["damaged"]] or ["no file is damaged"]
    if document["removed"]:
        lines.append(f"removed {count(len(document['removed']), 'path')}, which freed {in_units(document['freed'])}")
    lines += [f"kept, because a run is using it: {path}" for path in document["in_use"]]
    return "\n".join(lines)


def _row(entry: EntryFacts) -> tuple[str, ...]:
    models = " + ".join(dict.fromkeys(entry["models"])) or "-"
    used = entry["used"][:16].replace("T", " ")
    kind = f"{entry['kind']} (outdated)" if entry["outdated"] else entry["kind"]
    return (
        kind,
        in_units(entry["bytes"]),
        used,
        models,
        entry["collection"] or "-",
        entry["analysis"] or "-",
        entry["entry"],
    )


def in_units(size: int) -> str:
    """Format a number of bytes with its unit, such as "1.5 GiB"."""
    value, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"
