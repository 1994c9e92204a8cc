"""Reader of MS MARCO question answering, v1.1 and v2.1 (Bajaj et al., 2016): queries and passages found by Bing.

Columns `query` and `passages`, the latter {`passage_text`: [...], `is_selected`: [...]} or a list of
{`passage_text`, `is_selected`}; recognised by these two in the first row. Selected passages are
relevant, the others are the query's negatives. A query without a selected passage is left out with
its passages, and counted in the notes. `query_id` is kept.
"""

from collections.abc import Mapping

from retroscope.collection.readers.fields import id_of, missing_column, records_of, required_text, text_list
from retroscope.collection.readers.row_formats.examples import RowFormat, TrainingExample
from retroscope.collection.readers.rows import Row
from retroscope.collection.records import Passage, Query
from retroscope.errors import CollectionError, excerpt


def _example(row: Row, columns: Mapping[str, str]) -> TrainingExample:
    passages = _passages(row, columns["passages"])
    return TrainingExample(
        Query(id_of(row, columns.get("query_id")), required_text(row, columns["query"])),
        tuple(Passage("", text) for text, selected in passages if selected),
        tuple(Passage("", text) for text, selected in passages if not selected),
    )


def _passages(row: Row, column: str) -> list[tuple[str, bool]]:
    """Return the text of each passage and whether it was selected, from either form of the column."""
    value = row.values.get(column)
    if not isinstance(value, Mapping):
        return [(required_text(p, "passage_text"), _selected(p)) for p in records_of(row, column)]
    inner = Row(value, row.file, row.number, row.unit)
    texts, marks = text_list(inner, "passage_text"), value.get("is_selected")
    if not isinstance(marks, list) or len(marks) != len(texts):
        raise CollectionError(
            f"is_selected must be a list of {len(texts)} marks, one for each text in passage_text; found "
            f"{excerpt(marks)}",
            where=row.where,
            fix="write one mark, 0 or 1, for each passage, e.g. [1, 0, 0]",
        )
    return [(text, _mark(mark, row.where)) for text, mark in zip(texts, marks, strict=True)]


def _selected(passage: Row) -> bool:
    if "is_selected" not in passage.values:
        raise missing_column(passage, ["is_selected"])
    return _mark(passage.values["is_selected"], passage.where)


def _mark(value: object, where: str) -> bool:
    """Read a selection mark: 1 or true is selected. 0, false or null is not.

    Raises:
        CollectionError: for anything else, which Python would take for true or false all the same: "0", -1, [0].
    """
    if value is None or (isinstance(value, bool | int) and value in (0, 1)):
        return bool(value)
    raise CollectionError(
        f"is_selected must be 0, 1, true, false or null, found {excerpt(value)}", where=where, fix="write 0 or 1"
    )


FORMAT = RowFormat(
    name="msmarco",
    required={"query": ["query"], "passages": ["passages"]},
    optional={"query_id": ["query_id"]},
    example=_example,
)
