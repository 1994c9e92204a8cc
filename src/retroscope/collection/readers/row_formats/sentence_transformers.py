"""sentence-transformers training data: pairs, triplets and n-tuples, identified by their column names.

Columns `anchor` or `query`, `positive` or `answer`, then `negative` or `negative_1` ... `negative_n`; recognised by the
first two in the first row of a .jsonl, .json, .csv, .tsv or .parquet file. A `score` or `label` of a pair must be 1
(relevant) or 0 (not). Any other number is refused, because it does not say whether the pair is relevant. A score that
only some rows have is refused, too. The passages of a row with 0 are in the corpus without a judgment.
"""

from collections.abc import Mapping

from retroscope.collection.readers.fields import numbered_texts, required_text
from retroscope.collection.readers.row_formats.examples import RowFormat, TrainingExample
from retroscope.collection.readers.rows import Row
from retroscope.collection.records import Passage, Query
from retroscope.errors import CollectionError, excerpt


def _example(row: Row, columns: Mapping[str, str]) -> TrainingExample:
    query = Query("", required_text(row, columns["query"]))
    paired = Passage("", required_text(row, columns["positive"]))
    negatives = tuple(Passage("", text) for text in numbered_texts(row, columns["negative"]))
    if _is_relevant(row, columns.get("score")):
        return TrainingExample(query, (paired,), negatives)
    return TrainingExample(query, (), unjudged=(paired, *negatives))


def _is_relevant(row: Row, column: str | None) -> bool:
    """Return whether the passage of a row is relevant: its score is 1, or the rows have no scores.

    Raises:
        CollectionError: for a score that is neither 0 nor 1.
    """
    value = 1 if column is None else row.values.get(column)
    if str(value) in ("1", "1.0", "0", "0.0"):
        return float(str(value)) == 1
    raise CollectionError(
        f"the score {excerpt(value)} in column {column!r} does not say whether the pair is relevant",
        where=row.where,
        fix=f"write 1 (relevant) or 0 (not relevant) into {column!r}, or remove {column!r} and all pairs that are not "
        "relevant",
    )


FORMAT = RowFormat(
    name="st",
    required={"query": ["anchor", "query"], "positive": ["positive", "answer"]},
    optional={"score": ["score", "label"]},
    stems={"negative": "negative"},
    in_every_row=("score",),
    example=_example,
)
