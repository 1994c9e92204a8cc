"""Tables of paired effects as a paper prints them: few columns, three decimals, significance marks."""

from typing import Any

import pandas as pd

from retroscope.number_format import exact_percent, marks, p_number, score, signed
from retroscope.statistics import Difference
from retroscope.typesetting.effect_words import effect_limits
from retroscope.typesetting.frames import alpha, correction, margin
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.statements import is_equivalent
from retroscope.typesetting.subject import AFTER, BEFORE, Subject, with_side

EQUAL_MARK = "="
NUMERIC = (BEFORE, AFTER, "effect", "interval", "p")


def printed_effects(difference: Difference, frame: pd.DataFrame) -> pd.DataFrame:
    """Format effects as a table of text: before, after, effect with significance marks, interval, corrected p."""
    return pd.DataFrame(
        {
            BEFORE: [score(v) for v in frame[BEFORE]],
            AFTER: [score(v) for v in frame[AFTER]],
            "effect": [signed(row["effect"]) + mark(difference, row) for _, row in frame.iterrows()],
            "interval": [effect_limits(row) for _, row in frame.iterrows()],
            "p": [p_number(p) for p in frame["p_corrected"]],
        },
        dtype=object,
    )


def mark(difference: Difference, row: "pd.Series[Any]") -> str:
    """Return the mark of an effect: stars if it is significant, "=" if equivalence is, both, or "" for neither."""
    return marks(row["p_corrected"], alpha(difference)) + (EQUAL_MARK if is_equivalent(row) else "")


def explained(difference: Difference, over: str = "") -> str:
    """Return the note below a table of `printed_effects`: what its intervals, p-values and marks mean.

    Args:
        over: what the intervals are over, in words, e.g. "12 clusters of queries". By default, the queries.
    """
    a = alpha(difference)
    level = exact_percent(1 - a)
    stars = f"*, **, ***: {correction(difference)}-corrected p below {a:g}, {a / 5:g}, {a / 50:g}"
    stated = margin(difference)
    if pd.isna(stated):
        equal, unmarked = "equivalence was not tested", "the difference is not significant"
    else:
        equal = f"{EQUAL_MARK}: equivalent within {stated:g}"
        unmarked = "neither a difference nor equivalence is significant"
    n, texts = difference.method.get("queries", 0), difference.method.get("texts", 0)
    over = over or f"{n:,} queries of {texts:,} distinct texts"
    return (
        f"Intervals ({level}) are over {over} and not corrected; p is corrected. {stars}; {equal}. No mark: {unmarked}."
    )


def effects_by(dim: str, difference: Difference, frame: pd.DataFrame, caption: str) -> PaperTable:
    """Return a table of effects with one row for each label of the dimension `dim`, e.g. for each measure."""
    printed = printed_effects(difference, frame)
    printed.insert(0, dim, frame[dim])
    return PaperTable(printed, caption, explained(difference), NUMERIC)


def effects_by_layer(subject: Subject, difference: Difference, frame: pd.DataFrame, caption: str) -> PaperTable:
    """Return a table of effects with one row for each layer, named by its label."""
    printed = printed_effects(difference, frame)
    printed.insert(0, "layer", [subject.layer_label(int(k)) for k in frame["layer"]])
    return PaperTable(printed, caption, explained(difference), NUMERIC)


def pair(subject: Subject, collection: str = "") -> str:
    """Return the names of both models and of the collection, for a caption."""
    on = collection or subject.collection.name
    return f"{with_side(subject.before.name, BEFORE)} and {with_side(subject.after.name, AFTER)} on {on}"


def labelled(subject: Subject, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a column "layer_name" after "layer": the layer's printed label, e.g. "6 (post-norm)"."""
    labelled_frame = frame.copy()
    place = list(labelled_frame.columns).index("layer") + 1
    labelled_frame.insert(place, "layer_name", [subject.layer_label(int(k)) for k in labelled_frame["layer"]])
    return labelled_frame
