"""FlagEmbedding training data: {`query`, `pos`: [...], `neg`: [...]}, one object on a line.

Recognised by `query` and `pos` in the first row. Scores of teachers (`pos_scores`, `neg_scores`),
`prompt` and `type` are not read: the prompt comes from the recipe of the encoder.
"""

from collections.abc import Mapping

from retroscope.collection.readers.fields import required_text, text_list
from retroscope.collection.readers.row_formats.examples import RowFormat, TrainingExample
from retroscope.collection.readers.rows import Row
from retroscope.collection.records import Passage, Query


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
