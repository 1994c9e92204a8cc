"""Table of domain shift, with one row for each collection."""

from collections.abc import Callable

import pandas as pd

from retroscope.analyses.shift.result import CollectionShift, ShiftResult
from retroscope.number_format import MISSING, exact_percent, interval, score, signed
from retroscope.typesetting.effect_words import effect_limits
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.subject import Subject


def shift_table(result: ShiftResult, subject: Subject) -> PaperTable:
    """Return a table with the shift of every collection from the first, and the change of retrieval on each."""
    every = [*([result.control] if result.control else []), *result.others]
    columns = {title: [_cell(shift, name, printed) for shift in every] for title, (name, printed) in COLUMNS.items()}
    names = [
        f"{shift.collection} (control: itself)" if shift is result.control else shift.collection for shift in every
    ]
    measure = subject.measures[0]
    frame = {"collection": names, "domain": [shift.outcome for shift in every], **columns}
    frame[f"change of {measure}"] = [_effect(shift, measure) for shift in every]
    note = (
        f"Intervals ({exact_percent(result.level)}) are over passages; the interval of {measure} is over queries. "
        "Domain: decided by the divergence of words (0 to 1) in the next column. Embeddings: squared MMD of embeddings "
        "before fine-tuning. The divergence and the MMD are reduced by their value for two halves of one "
        "collection. Words per passage (length) and tokens per word (fertility) are ratios to the first collection. "
        "For unknown tokens, and for nearest neighbours that stay the same after fine-tuning, "
        "the table gives the share in the first collection, the share in the collection of the row, and their "
        "difference."
    )
    numeric = tuple(frame)[2:]
    return PaperTable(pd.DataFrame(frame), f"Domain shift of each collection from {result.reference}", note, numeric)


def _plain(row: "pd.Series[float]") -> str:
    return f"{score(row['shift'])} {interval(row['low'], row['high'])}"


def _ratio(row: "pd.Series[float]") -> str:
    """Format a ratio that is stored as its log2."""
    value, low, high = (2 ** row[name] for name in ("shift", "low", "high"))
    return f"x {value:.2f} [{low:.2f}, {high:.2f}]"


def _shares(row: "pd.Series[float]") -> str:
    limits = interval(row["low"], row["high"], effect=True)
    return f"{score(row['reference'])}, {score(row['here'])}: {signed(row['shift'])} {limits}"


COLUMNS: dict[str, tuple[str, Callable[["pd.Series[float]"], str]]] = {
    "words": ("words", _plain),
    "embeddings": ("embeddings", _plain),
    "words of a passage": ("length", _ratio),
    "tokens of a word": ("fertility", _ratio),
    "unknown tokens": ("unknown", _shares),
    "common neighbours": ("neighbours", _shares),
}


def _cell(one: CollectionShift, statistic: str, printed: Callable[["pd.Series[float]"], str]) -> str:
    row = one.number(statistic)
    return MISSING if row is None else printed(row)


def _effect(one: CollectionShift, measure: str) -> str:
    if one.retrieval is None:
        return MISSING
    row = rows(one.retrieval, measure=measure).iloc[0]
    return f"{signed(row['effect'])} {effect_limits(row)}"
