"""Read the rows of a file: .jsonl, .json (one list), .csv, .tsv or .parquet, each also gzipped.

Every row knows its file and line, so that whatever is wrong with it can be found.
"""

import codecs
import csv
import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import pyarrow.parquet as pq

from retroscope.collection.places import RecordPlace
from retroscope.errors import CollectionError, excerpt
from retroscope.files.reading import DOWNLOAD_AGAIN, LONGEST_LINE, file_lines, foreign
from retroscope.files.reading import open_bytes as open_file
from retroscope.files.strict_json import BrokenJsonError, broken_json, each_once, names_twice, parse_json

CHUNK = 2**16
open_bytes = partial(open_file, kind=CollectionError)
lines = partial(file_lines, kind=CollectionError)


@dataclass(frozen=True, slots=True)
class Row:
    """One record with its file and position. `unit` is "line", "row" (parquet) or "item" (JSON list)."""

    values: Mapping[str, Any]
    file: str
    number: int
    unit: str = "line"

    @property
    def place(self) -> RecordPlace:
        """Return the file and the line, row or item."""
        return RecordPlace(self.file, f"{self.unit} {self.number}")

    @property
    def where(self) -> str:
        """Return the file and the line, row or item, for error messages."""
        return f"{self.file}, {self.unit} {self.number}"  # not by `place`: this is made for every row


RowSource = Callable[[], Iterator[Row]]
"""Rows that can be read more than once: each call reads them from the beginning."""


def file_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file.

    Raises:
        CollectionError: with file, line and reason: broken JSON, wrong encoding, ragged CSV,
            damaged gzip or parquet, or a file type that is not in `FORMS`.
    """
    form = form_of(path)
    if form is None:
        raise CollectionError(
            f"files of the type of {path.name!r} cannot be read",
            where=str(path),
            fix=f"give a file that ends in one of {', '.join(FORMS)}, or in one of them and .gz",
        )
    return FORMS[form](path)


def first_row(path: Path) -> Row | None:
    """Return the first row of a file, or None if the file has no rows or is empty."""
    if not path.is_file() or form_of(path) is None:
        return None
    return next(file_rows(path), None)


def form_of(path: Path) -> str | None:
    """Return the file's extension without .gz, or None if it is not in `FORMS`."""
    endings = [s.lower() for s in path.suffixes if s.lower() != ".gz"]
    return endings[-1] if endings and endings[-1] in FORMS else None


def _jsonl(path: Path) -> Iterator[Row]:
    fix = "write one complete JSON object on each line"
    for number, line in lines(path):
        if not line.strip():
            continue
        try:
            yield _object(parse_json(line), path, number, "line")
        except BrokenJsonError as error:
            raise _broken(error, f"{path}, line {number}", fix) from error


def _broken(error: BrokenJsonError, where: str, fix: str) -> CollectionError:
    """Return the error for a record that cannot be parsed, with the parser's advice if there is any."""
    return CollectionError(f"this JSON cannot be read: {error.what}", where=where, fix=error.fix or fix)


def _json(path: Path) -> Iterator[Row]:
    """Yield the items of a JSON list, one in memory at a time. A .json file of JSON lines is read as lines."""
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
        try:
            if text.startswith("]"):
                _refuse_rest(_filled(text[1:], file))
                return
            item, text = _first_item(text, file)
            yield item
            text = _filled(text, file)
            if text.startswith(","):
                text = _filled(text[1:], file)
            elif not text.startswith("]"):
                raise BrokenJsonError("expected ',' or ']' after this item")
        except BrokenJsonError as error:
            fix = "write the file as one JSON list of objects: [{...}, {...}]"
            raise _broken(error, f"{path}, item {number}", fix) from error


def _refuse_rest(text: str) -> None:
    """Refuse text after the end of the JSON list, e.g. a second list, because it would not be read."""
    if text:
        raise BrokenJsonError(f"the list ends before this item, but the file goes on: {excerpt(text)}")


def _filled(text: str, file: TextIO) -> str:
    """Return the text without leading white space. If nothing remains, read more. "" means the end of the file."""
    text = text.lstrip()
    while not text and (piece := file.read(CHUNK)):
        text = piece.lstrip()
    return text


def _first_item(text: str, file: TextIO) -> tuple[Any, str]:
    """Parse the first item of a text, and read more of the file while the item is incomplete.

    Returns:
        The item, and the text after it.
    """
    while True:
        with broken_json():
            try:
                item, end = json.JSONDecoder(object_pairs_hook=each_once).raw_decode(text)
                return item, text[end:]
            except json.JSONDecodeError as error:
                if len(text) > LONGEST_LINE:
                    raise BrokenJsonError(f"this item is larger than {LONGEST_LINE // 2**20} MiB") from error
                piece = file.read(max(CHUNK, len(text)))
                if not piece:
                    raise BrokenJsonError(f"{error.msg} ({error.pos} characters into this item)") from error
                text += piece


def _object(item: object, path: Path, number: int, unit: str) -> Row:
    if not isinstance(item, dict):
        raise CollectionError(
            f"expected a JSON object, found {type(item).__name__}",
            where=f"{path}, {unit} {number}",
            fix='write every record as an object with named fields, e.g. {"query": "...", "positive": "..."}',
        )
    return Row(item, str(path), number, unit)


def _csv(path: Path) -> Iterator[Row]:
    return _delimited(path, ",")


def _tsv(path: Path) -> Iterator[Row]:
    return _delimited(path, "\t")


def _delimited(path: Path, delimiter: str) -> Iterator[Row]:
    records = _records(path, delimiter)
    first, header = next(records, (1, []))
    _refuse_repeated(header, f"{path}, line {first}")
    for number, cells in records:
        if len(cells) != len(header) and cells:
            raise CollectionError(
                f"this line has {len(cells)} cells, but the header has {len(header)}",
                where=f"{path}, line {number}",
                fix="quote cells that contain the delimiter, a quotation mark or a line break",
            )
        if cells:
            yield Row(dict(zip(header, cells, strict=True)), str(path), number)


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of every CSV record, each with the number of its last line.

    A record of a .tsv file must be one line: a quotation mark that belongs to the text of such a file would otherwise
    join all lines up to the next one.
    """
    csv.field_size_limit(LONGEST_LINE)  # the module's own limit of 131,072 is less than a long document
    reader = csv.reader((line for _, line in lines(path)), delimiter=delimiter, strict=True)
    cells: list[str] | None = []
    while cells is not None:
        begun, broken = reader.line_num + 1, None
        try:
            cells = next(reader, None)
        except csv.Error as error:
            broken = error
        if delimiter == "\t" and reader.line_num > begun:
            raise CollectionError(
                "a cell of this line begins with a quotation mark that is not closed on this line",
                where=f"{path}, line {begun}",
                fix="remove this quotation mark; to keep it, quote the cell and double the quotation marks in it, e.g. "
                '"""Tea is"; for texts with line breaks, give a .csv or .jsonl file',
            ) from broken
        if broken:
            raise CollectionError(
                f"broken CSV: {broken}",
                where=f"{path}, line {reader.line_num}",
                fix="check the quotation marks of this line",
            ) from broken
        if cells is not None:
            yield reader.line_num, cells


def _refuse_repeated(columns: Sequence[str], where: str) -> None:
    names = ", ".join(map(excerpt, names_twice(list(columns))))
    if names:
        raise CollectionError(
            f"columns that occur more than once: {names}",
            where=where,
            fix="keep one column of each name, or rename the others",
        )


def _parquet(path: Path) -> Iterator[Row]:
    guarded = foreign(CollectionError, "damaged parquet", path, DOWNLOAD_AGAIN)
    with guarded, open_bytes(path) as raw, pq.ParquetFile(raw) as file:
        _refuse_repeated(file.schema_arrow.names, str(path))
        batches = file.iter_batches(batch_size=1024)
        for number, values in enumerate((v for batch in batches for v in batch.to_pylist()), 1):
            yield Row(values, str(path), number, "row")


FORMS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
}
