"""DPR training data (Karpukhin et al. 2020): a JSON list, or JSON lines, of questions with contexts.

Each has `question`, `positive_ctxs` and optionally `hard_negative_ctxs` and `negative_ctxs`, lists of
{`title`, `text`, `passage_id`}; recognised by the first two in the first object. Hard negatives come
before the others. A context's `passage_id` (or `psg_id`) is kept as its id, `answers` as those of the query.
"""

from collections.abc import Mapping
from pathlib import Path

from retroscope.collection.collection import Collection
from retroscope.collection.readers.examples import RowFormat, TrainingExample, read_rows, recognises_rows
from retroscope.collection.readers.fields import answers_of, id_of, records_of, required_text, text_of
from retroscope.collection.readers.options import ReadOptions
from retroscope.collection.readers.rows import Row
from retroscope.collection.records import Passage, Query


def recognises(path: Path) -> bool:
    """Return whether the first object has a question and positive contexts."""
    return recognises_rows(path, FORMAT)


def read(path: Path, options: ReadOptions) -> Collection:
    """Read a JSON list or JSON lines."""
    return read_rows(path, FORMAT, options)


def _example(row: Row, columns: Mapping[str, str]) -> TrainingExample:
    negatives = [columns[word] for word in ("hard_negative_ctxs", "negative_ctxs") if word in columns]
    return TrainingExample(
        Query("", required_text(row, columns["question"]), answers_of(row, columns.get("answers"))),
        _contexts(row, columns["positive_ctxs"]),
        tuple(p for column in negatives if column in row.values for p in _contexts(row, column)),
    )


def _contexts(row: Row, column: str) -> tuple[Passage, ...]:
    return tuple(
        Passage(
            id=id_of(context, "passage_id") or id_of(context, "psg_id"),
            title=text_of(context, "title"),
            text=required_text(context, "text"),
        )
        for context in records_of(row, column)
    )


FORMAT = RowFormat(
    name="dpr",
    required={"question": ["question"], "positive_ctxs": ["positive_ctxs"]},
    optional={
        "hard_negative_ctxs": ["hard_negative_ctxs"],
        "negative_ctxs": ["negative_ctxs"],
        "answers": ["answers"],
    },
    example=_example,
)
