"""Reader of the probing data of arXiv 2505.07166 (ielab): one row for each (question, positive).

Columns `question`, `positive_context`, `negative_context_0`, `negative_context_1` ...; recognised by
the first two in the first row of a .jsonl, .json, .csv, .tsv or .parquet file. Titles are already
joined to their texts with a space.
"""

from collections.abc import Mapping

from retroscope.collection.readers.fields import numbered_texts, required_text
from retroscope.collection.readers.row_formats.examples import RowFormat, TrainingExample
from retroscope.collection.readers.rows import Row
from retroscope.collection.records import Passage, Query


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
