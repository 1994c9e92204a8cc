"""Rows of a file, whatever its form: .jsonl, .json (one list), .csv, .tsv or .parquet, each also gzipped.

Every row knows its file and line, so that whatever is wrong with it can be found.
"""

import codecs
import csv
import gzip
import io
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from retroscope.errors import CollectionError, did_you_mean

GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 2**16
LONGEST_CELL = 2**28  # characters; the csv module's own limit of 131,072 is less than a long document


@dataclass(frozen=True, slots=True)
class Row:
    """One record and its place in the file; `unit` is "line", "row" (parquet) or "item" (JSON list)."""

    values: Mapping[str, Any]
    file: str
    number: int
    unit: str = "line"

    @property
    def where(self) -> str:
        """Return file and line."""
        return f"{self.file}, {self.unit} {self.number}"


def file_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file.

    Raises:
        CollectionError: with file, line and reason: broken JSON, wrong encoding, ragged CSV,
            damaged gzip or parquet, or a form that is not one of `FORMS`.
    """
    form = form_of(path)
    if form is None:
        raise CollectionError(
            "this is not a file of rows", where=str(path), fix=f"give a file that ends in one of {', '.join(FORMS)}"
        )
    return FORMS[form](path)


def first_row(path: Path) -> Row | None:
    """Return the first row; None if this is no file of rows, or an empty one."""
    if not path.is_file() or form_of(path) is None:
        return None
    return next(file_rows(path), None)


def form_of(path: Path) -> str | None:
    """Return the file's ending without .gz; None if it is not in `FORMS`."""
    endings = [s.lower() for s in path.suffixes if s.lower() != ".gz"]
    return endings[-1] if endings and endings[-1] in FORMS else None


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of every line, UTF-8 with or without byte-order mark, gzipped or not."""
    offset = 0
    with open_bytes(path) as file:
        for number, raw in enumerate(file, 1):
            if number == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            try:
                yield number, raw.decode()
            except UnicodeDecodeError as error:
                raise CollectionError(
                    f"not UTF-8: {error.reason} (byte {offset + error.start} of the file)",
                    where=f"{path}, line {number}",
                    fix="save the file as UTF-8, e.g. iconv -f latin1 -t utf-8",
                ) from error
            offset += len(raw)


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open the file's bytes, unpacked where the first two show that it is gzipped."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            if packed:
                with gzip.open(raw) as file:
                    yield file  # type: ignore[misc]  # a GzipFile reads bytes
            else:
                yield raw
    except (EOFError, gzip.BadGzipFile) as error:
        raise CollectionError(f"damaged gzip: {error}", where=str(path), fix="fetch or pack the file again") from error
    except FileNotFoundError as error:
        known = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise CollectionError("no such file", where=str(path), fix=did_you_mean(path.name, known)) from error


def _jsonl(path: Path) -> Iterator[Row]:
    for number, line in lines(path):
        if not line.strip():
            continue
        try:
            yield _object(json.loads(line, object_pairs_hook=_once), path, number, "line")
        except json.JSONDecodeError as error:
            raise CollectionError(
                f"broken JSON: {error.msg} (column {error.colno})",
                where=f"{path}, line {number}",
                fix="a .jsonl file holds one complete JSON object on each line",
            ) from error
        except _RepeatedKey as error:
            raise _repeated("keys", error.names, f"{path}, line {number}") from error


class _RepeatedKey(Exception):
    """A JSON object has a key twice; Python would silently keep the last value."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise _RepeatedKey(_twice([name for name, _ in pairs]))
    return values


def _twice(names: Sequence[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _repeated(what: str, names: Sequence[str], where: str) -> CollectionError:
    return CollectionError(
        f"{what} that occur more than once: {', '.join(map(repr, names))}",
        where=where,
        fix="keep one of each, or rename the others: only one can be meant",
    )


def _json(path: Path) -> Iterator[Row]:
    """Yield the items of a JSON list, one in memory at a time; a .json file of JSON lines is read as such."""
    with open_bytes(path) as file:
        start = file.read(CHUNK).removeprefix(codecs.BOM_UTF8).lstrip()
    if start[:1] == b"[":
        return _json_list(path)
    return _jsonl(path)


def _json_list(path: Path) -> Iterator[Row]:
    with open_bytes(path) as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8-sig")
        try:
            for number, item in enumerate(_items(file, path), 1):
                yield _object(item, path, number, "item")
        except UnicodeDecodeError as error:
            raise CollectionError(
                f"not UTF-8: {error.reason}",
                where=str(path),
                fix="save the file as UTF-8, e.g. iconv -f latin1 -t utf-8",
            ) from error


def _items(file: TextIO, path: Path) -> Iterator[Any]:
    """Yield the items of a JSON list, read in pieces: one item and one piece in memory at a time."""
    text = _filled(_filled("", file)[1:], file)
    for number in itertools.count(1):
        if text.startswith("]"):
            return
        item, text = _first_item(text, file, f"{path}, item {number}")
        yield item
        text = _filled(text, file)
        if text.startswith(","):
            text = _filled(text[1:], file)
        elif not text.startswith("]"):
            raise _broken("expected ',' or ']' after this item", f"{path}, item {number}")


def _filled(text: str, file: TextIO) -> str:
    """Return the text without leading space, reading on where nothing is left of it; empty at the end of the file."""
    text = text.lstrip()
    while not text and (piece := file.read(CHUNK)):
        text = piece.lstrip()
    return text


def _first_item(text: str, file: TextIO, where: str) -> tuple[Any, str]:
    """Return the item that the text begins with, and what follows it; reads on, doubling, while it is incomplete."""
    while True:
        try:
            item, end = json.JSONDecoder(object_pairs_hook=_once).raw_decode(text)
            return item, text[end:]
        except _RepeatedKey as error:
            raise _repeated("keys", error.names, where) from error
        except json.JSONDecodeError as error:
            piece = file.read(max(CHUNK, len(text)))
            if not piece:
                raise _broken(f"{error.msg} ({error.pos} characters into this item)", where) from error
            text += piece


def _broken(what: str, where: str) -> CollectionError:
    return CollectionError(f"broken JSON: {what}", where=where, fix="the file must be one JSON list of objects")


def _object(item: object, path: Path, number: int, unit: str) -> Row:
    if not isinstance(item, dict):
        raise CollectionError(
            f"expected a JSON object, found {type(item).__name__}",
            where=f"{path}, {unit} {number}",
            fix='every record is an object with named fields, e.g. {"query": "...", "positive": "..."}',
        )
    return Row(item, str(path), number, unit)


def _csv(path: Path) -> Iterator[Row]:
    return _delimited(path, ",")


def _tsv(path: Path) -> Iterator[Row]:
    return _delimited(path, "\t")


def _delimited(path: Path, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    reader = csv.reader((line for _, line in lines(path)), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        if twice := _twice(header):
            raise _repeated("columns", twice, f"{path}, line {reader.line_num}")
        for cells in reader:
            if len(cells) != len(header) and cells:
                raise CollectionError(
                    f"{len(cells)} cells where the header has {len(header)}",
                    where=f"{path}, line {reader.line_num}",
                    fix="quote cells that hold the delimiter, a quotation mark or a line break",
                )
            if cells:
                yield Row(dict(zip(header, cells, strict=True)), str(path), reader.line_num)
    except csv.Error as error:
        raise CollectionError(
            f"broken CSV: {error}", where=f"{path}, line {reader.line_num}", fix="check the quotation marks"
        ) from error


def _parquet(path: Path) -> Iterator[Row]:
    try:
        with open_bytes(path) as raw, pq.ParquetFile(raw) as file:
            if twice := _twice(file.schema_arrow.names):
                raise _repeated("columns", twice, str(path))
            batches = file.iter_batches(batch_size=1024)
            for number, values in enumerate((v for batch in batches for v in batch.to_pylist()), 1):
                yield Row(values, str(path), number, "row")
    except (pa.ArrowInvalid, OSError) as error:
        raise CollectionError(f"damaged parquet: {error}", where=str(path), fix="fetch the file again") from error


FORMS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
}
