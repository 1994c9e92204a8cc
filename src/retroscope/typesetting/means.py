"""Tables of one model's means as a paper prints them: three decimals, with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from retroscope.number_format import count, exact_percent, interval, score
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.subject import MODEL, Subject

NUMERIC = ("mean", "interval")


def means_by(dim: str, records: Sequence[Mapping[str, Any]], subject: Subject, what: str) -> PaperTable:
    """Return a table of one model's means with one row for each label of the dimension `dim`, e.g. for each layer.

    Args:
        records: the means, from `documents.mean_records`.
        what: name of what was measured, for the caption, e.g. "Retrieval".
    """
    label = subject.layer_label if dim == "layer" else str
    printed = pd.DataFrame(
        {
            dim: [label(row[dim]) for row in records],
            "mean": [score(row["mean"]) for row in records],
            "interval": [interval(row["ci_low"], row["ci_high"]) for row in records],
        }
    )
    return PaperTable(printed, f"{what}: {one_model(subject)}.", _covers(records, subject), NUMERIC)


def one_model(subject: Subject) -> str:
    """Return the names of the model and of the collection, for a caption."""
    return f"{subject.side(MODEL).name} on {subject.collection.name}"


def _covers(records: Sequence[Mapping[str, Any]], subject: Subject) -> str:
    """Return the note on the intervals: level, number of queries, and that they are not corrected."""
    queries = max((int(row["n"]) for row in records), default=0)
    level = exact_percent(subject.statistics.level)
    return f"Intervals: {level}, over {count(queries, 'query')}, not corrected for the number of rows."
