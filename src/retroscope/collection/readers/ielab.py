"""ielab: the probing data of arXiv 2505.07166, one row per (question, positive).

Columns `question`, `positive_context`, `negative_context_0`, `negative_context_1` ...; recognised by
the first two in the first row of a .jsonl, .json, .csv, .tsv or .parquet file. Titles are already
joined to their texts with a space.
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
    """Return whether the first row has a question and its positive context."""
    return recognises_rows(path, FORMAT)


def read(path: Path, options: ReadOptions) -> Collection:
    """Read a file of rows."""
    return read_rows(path, FORMAT, options)


def _example(row: Row, columns: Mapping[str, str]) -> TrainingExample:
    return TrainingExample(
        Query("", required_text(row, columns["question"])),
        (Passage("", required_text(row, columns["positive_context"])),),
        tuple(Passage("", text) for text in numbered_texts(row, columns["negative_context"])),
    )


FORMAT = RowFormat(
    name="ielab",
    required={"question": ["question"], "positive_context": ["positive_context"]},
    stems={"negative_context": "negative_context"},
    example=_example,
)
