"""Suggest a nearby folder, or how to name the columns of a file, for a path that no known format fits."""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from retroscope.collection.readers.rows import first_row, form_of
from retroscope.collection.readers.shards import first_of_parquet
from retroscope.errors import CollectionError

QUERIES = ("question", "query", "queries", "anchor", "sentence1", "text1", "q", "premise", "claim", "title")
PASSAGES = ("passage", "positive", "answer", "context", "document", "doc", "text", "sentence2", "text2", "paragraph",
            "hypothesis", "evidence", "body", "abstract", "content", "response")  # fmt: skip
NAME = re.compile(r"[\w .-]{1,40}")  # of a column: a longer cell, or one with other signs, is a text
MOST_FOLDERS = 200


def unread(path: Path, tried: Iterable[str], recognised: Callable[[Path], list[str]]) -> CollectionError:
    """Return the error for a path that no reader recognises, with the path or columns that were probably intended.

    Args:
        tried: the prefixes of all readers.
        recognised: function that returns the prefixes of the readers which recognise a path.
    """
    meant = [place for place in _places(path) if _is_meant(place, recognised)]
    if meant:
        which = " or ".join(str(place) for place in meant[:3])
        place = "contains this file" if path.is_file() else "lies inside this folder"
        return CollectionError(
            f"no format fits this path, but one fits a folder that {place}",
            where=str(path),
            fix=f"give the folder {which}",
        )
    return CollectionError(
        f"no format fits this path; tried: {', '.join(tried)}", where=str(path), fix=_how_to_read(path)
    )


def _is_meant(place: Path, recognised: Callable[[Path], list[str]]) -> bool:
    """Return whether any reader recognises a path. Return False for damaged files."""
    with suppress(CollectionError):
        return bool(recognised(place))
    return False


def _places(path: Path) -> Iterable[Path]:
    """Return folders near a path that the user may have meant.

    These are the two folders above a file, or the folders inside a folder, down to depth two.
    """
    if path.is_file():
        return [path.parent, path.parent.parent]
    inside = [folder for folder in sorted(path.glob("*")) + sorted(path.glob("*/*")) if folder.is_dir()]
    return inside[:MOST_FOLDERS]


def _how_to_read(path: Path) -> str:
    """Return advice for an error message: the command-line options, or the header line, that make the path readable."""
    row = first_of_parquet(path) if path.is_dir() else first_row(path)
    if row is None:
        return f"put the format before the path, e.g. st:{path}; docs/reference/data.md describes the formats"
    columns = [str(name) for name in row.values]
    if form_of(path) in (".tsv", ".csv") and not all(NAME.fullmatch(name) for name in columns):
        mark = "\\t" if form_of(path) == ".tsv" else ","
        names = mark.join(["query", "positive", *(f"negative_{k}" for k in range(1, len(columns) - 1))][: len(columns)])
        return f"the first line is not a header: insert a line of column names, e.g. sed -i '1i {names}' {path}"
    query = next((c for name in QUERIES for c in columns if c.lower() == name), "COLUMN")  # a question before a title
    passage = next((c for c in columns if c.lower() in PASSAGES), "COLUMN")
    words = f"{{query: {query}, positive: {passage}}}"
    prefix, place = ("hf", row.file) if path.is_dir() else ("st", "this file")
    advice = f"name the format, and which of the columns of {place} ({', '.join(columns[:8])}) have the texts"
    return f"{advice}: --data {prefix}:{path} --set data.columns='{words}'"
