"""sentence-transformers training data: pairs, triplets and n-tuples, by the names of their columns.

Columns `anchor` or `query`, `positive` or `answer`, then `negative` or `negative_1` ... `negative_n`;
recognised by the first two in the first row of a .jsonl, .json, .csv, .tsv or .parquet file.
"""

from collections.abc import Mapping
from pathlib import Path

from retroscope.collection.collection import Collection
from retroscope.collection.readers.examples import RowFormat, TrainingExample, read_rows, recognises_rows
from retroscope.collection.readers.fields import numbered_texts, required_text
from retroscope.collection.readers.options import ReadOptions
from retroscope.collection.readers.rows import Row
from retroscope.collection.records import Passage, Query


def recognises(path: Path) -> bool:
    """Return whether the first row has an anchor and a positive."""
    return recognises_rows(path, FORMAT)


def read(path: Path, options: ReadOptions) -> Collection:
    """Read a file of rows."""
    return read_rows(path, FORMAT, options)


def _example(row: Row, columns: Mapping[str, str]) -> TrainingExample:
    return TrainingExample(
        Query("", required_text(row, columns["query"])),
        (Passage("", required_text(row, columns["positive"])),),
        tuple(Passage("", text) for text in numbered_texts(row, columns["negative"])),
    )


FORMAT = RowFormat(
    name="st",
    required={"query": ["anchor", "query"], "positive": ["positive", "answer"]},
    stems={"negative": "negative"},
    example=_example,
)
