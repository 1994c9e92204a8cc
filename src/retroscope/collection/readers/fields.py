"""Map the fields of a format to the columns of a row. The error for a missing column suggests the nearest name."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from retroscope.collection.ids import check_id
from retroscope.collection.readers.rows import Row
from retroscope.errors import CollectionError, did_you_mean, unknown_name

Words = Mapping[str, Sequence[str]]  # name of a field -> the column names that it may have


def refuse_unknown_words(columns: Mapping[str, str], words: Iterable[str]) -> None:
    """Raise a SettingsError if the caller's `columns` names a field that the format does not have."""
    known = list(words)
    for word in columns:
        if word not in known:
            raise unknown_name("field in columns", word, known)


def resolve_columns(row: Row, required: Words, optional: Words, columns: Mapping[str, str]) -> dict[str, str]:
    """Map each field of a format to the column of this row that holds it.

    The caller's `columns` (field -> column) take precedence over the usual names.

    Raises:
        CollectionError: if a required column, or one that `columns` names, is not there.
    """
    column_of = {}
    for word, names in {**required, **optional}.items():
        wanted = [columns[word]] if word in columns else names
        present = [name for name in wanted if name in row.values]
        if present:
            column_of[word] = present[0]
        elif word in required or word in columns:
            raise missing_column(row, wanted, word)
    return column_of


def later_columns(row: Row, optional: Words, known: Mapping[str, str]) -> dict[str, str]:
    """Find optional fields that no earlier row had. Return their columns in this row, by field.

    In JSON lines, a record without a value for a field may leave out the field, and so may the first record.
    """
    absent = ((word, names) for word, names in optional.items() if word not in known)
    present = ((word, next((name for name in names if name in row.values), None)) for word, names in absent)
    return {word: name for word, name in present if name is not None}


def resolve_stems(row: Row, stems: Mapping[str, str], columns: Mapping[str, str]) -> dict[str, str]:
    """Map each field to the stem of its numbered columns: "negative" for negative_1, negative_2 ...

    Such columns are required only if `columns` names their stem.
    """
    for word in stems:
        if word in columns and not _numbered_columns(row, columns[word]):
            raise missing_column(row, [f"{columns[word]}_1"], word)
    return {word: columns.get(word, stem) for word, stem in stems.items()}


def missing_column(row: Row, wanted: Sequence[str], field: str = "") -> CollectionError:
    """Return the error for a row that has none of the `wanted` columns.

    Args:
        field: the field that a caller's `columns` can map to another column, or "" if the format has fixed names.
    """
    names, columns = " or ".join(repr(name) for name in wanted), list(map(str, row.values))
    near = did_you_mean(wanted[0], columns) if columns else "this record is empty"
    if not field:
        return CollectionError(
            f"no column {names}; found: {', '.join(columns) or 'none'}",
            where=row.where,
            fix=f"add {names} to this record, or rename one of the columns found; {near}",
        )
    return CollectionError(
        f"no column {names}; found: {', '.join(columns) or 'none'}",
        where=row.where,
        fix=f"to read one of the columns found as {field!r}, pass --set data.columns='{{{field}: COLUMN}}' "
        f"(in Python: columns={{{field!r}: 'COLUMN'}}); {near}",
    )


def text_of(row: Row, column: str | None) -> str:
    """Return the text in a column, or "" if it is null or `column` is None."""
    value = None if column is None else row.values.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(row, str(column), "text", value)
    return value


def query_group(row: Row) -> str:
    """Return the query's group, `metadata.group` in a BEIR row, or "" if there is none."""
    metadata = row.values.get("metadata")
    return text_of(replace(row, values=metadata), "group") if isinstance(metadata, dict) else ""


def required_text(row: Row, column: str) -> str:
    """Return the text in a column that the row must have."""
    if column not in row.values:
        raise missing_column(row, [column])
    return text_of(row, column)


def id_of(row: Row, column: str | None) -> str:
    """Return the id in a column (text or whole number) as text, or "" if there is none."""
    value = None if column is None else row.values.get(column)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _wrong(row, str(column), "an id (text or a whole number)", value)
    return check_id(str(value), row.where)


def required_id(row: Row, column: str) -> str:
    """Return the id in a column, which must not be empty."""
    identifier = id_of(row, column)
    if not identifier:
        raise CollectionError(f"this record has no id in {column!r}", where=row.where, fix="give every record an id")
    return identifier


def text_list(row: Row, column: str) -> list[str]:
    """Return the list of texts in a column. A single text counts as a list of one text."""
    value = _list_of(row, column)
    for item in value:
        if not isinstance(item, str):
            raise _wrong(row, column, "a list of texts", value)
    return value


def answers_of(row: Row, column: str | None) -> tuple[str, ...]:
    """Return the distinct answers in a column, or nothing if the column is absent."""
    return () if column is None or column not in row.values else tuple(dict.fromkeys(text_list(row, column)))


def ids_of(row: Row, column: str) -> list[str]:
    """Return the list of ids in a column."""
    return [id_of(Row({column: item}, row.file, row.number, row.unit), column) for item in _list_of(row, column)]


def records_of(row: Row, column: str) -> list[Row]:
    """Return the JSON objects in a column as rows, with file and line of this row."""
    value = _list_of(row, column)
    for item in value:
        if not isinstance(item, Mapping):
            raise _wrong(row, column, "a list of objects", value)
    return [Row(item, row.file, row.number, row.unit) for item in value]


def _list_of(row: Row, column: str) -> list[Any]:
    if column not in row.values:
        raise missing_column(row, [column])
    value = row.values[column]
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list | tuple):
        raise _wrong(row, column, "a list", value)
    return list(value)


def numbered_texts(row: Row, stem: str) -> list[str]:
    """Return the non-empty texts in the columns `stem`, `stem_0`, `stem_1` ..., in the order of their numbers."""
    texts = [text_of(row, column) for column in _numbered_columns(row, stem)]
    return [t for t in texts if t.strip()]


def _numbered_columns(row: Row, stem: str) -> list[str]:
    pattern = re.compile(rf"{re.escape(stem)}(?:_(\d+))?")
    matches = [m for m in map(pattern.fullmatch, row.values) if m]
    return [m.group(0) for m in sorted(matches, key=lambda m: int(m.group(1) or -1))]


def _wrong(row: Row, column: str, wanted: str, value: object) -> CollectionError:
    return CollectionError(
        f"column {column!r} must be {wanted}, found {type(value).__name__}: {str(value)[:60]!r}",
        where=row.where,
        fix=f"write {wanted} into the column {column!r} of every record",
    )
