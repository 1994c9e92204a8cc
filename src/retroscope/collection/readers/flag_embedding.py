"""FlagEmbedding training data: {`query`, `pos`: [...], `neg`: [...]}, one object on a line.

Recognised by `query` and `pos` in the first row. Scores of teachers (`pos_scores`, `neg_scores`),
`prompt` and `type` are not read: the recipe of an encoder says its prompt.
"""

from collections.abc import Mapping
from pathlib import Path

from retroscope.collection.collection import Collection
from retroscope.collection.readers.examples import RowFormat, TrainingExample, read_rows, recognises_rows
from retroscope.collection.readers.fields import required_text, text_list
from retroscope.collection.readers.options import ReadOptions
from retroscope.collection.readers.rows import Row
from retroscope.collection.records import Passage, Query


def recognises(path: Path) -> bool:
    """Return whether the first row has a query and positives."""
    return recognises_rows(path, FORMAT)


def read(path: Path, options: ReadOptions) -> Collection:
    """Read a file of rows."""
    return read_rows(path, FORMAT, options)


def _example(row: Row, columns: Mapping[str, str]) -> TrainingExample:
    negatives = text_list(row, columns["neg"]) if columns.get("neg") in row.values else []
    return TrainingExample(
        Query("", required_text(row, columns["query"])),
        tuple(Passage("", text) for text in text_list(row, columns["pos"])),
        tuple(Passage("", text) for text in negatives),
    )


FORMAT = RowFormat(
    name="flag",
    required={"query": ["query"], "pos": ["pos"]},
    optional={"neg": ["neg"]},
    example=_example,
)
