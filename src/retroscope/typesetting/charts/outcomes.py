"""Draw effects with the outcome of their tests: each outcome has its colour and shape."""

import math
from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from retroscope.statistics import Difference
from retroscope.typesetting.charts.curves import PANEL, tooltips, zero_line
from retroscope.typesetting.charts.palette import LOOKS
from retroscope.typesetting.frames import margin
from retroscope.typesetting.statements import is_equivalent
from retroscope.typesetting.subject import AFTER, BEFORE

GAIN, LOSS, EQUAL, NEITHER = "gain", "loss", "equivalent", "not significant"
OUTCOMES = {  # a gain has the colour of "after", a loss that of "before"
    GAIN: (LOOKS[AFTER].colour, "square"),
    LOSS: (LOOKS[BEFORE].colour, "circle"),
    EQUAL: ("#009E73", "diamond"),
    NEITHER: ("#8a8a8a", "cross"),
}


def outcome_of(row: "pd.Series[Any]", level: float) -> str:
    """Return the outcome of one effect's tests: "gain", "loss", "equivalent" or "not significant"."""
    if row["p_corrected"] < level:
        return GAIN if row["effect"] > 0 else LOSS
    return EQUAL if is_equivalent(row) else NEITHER


def no_change_words(difference: Difference) -> str:
    """Return the words of a caption that explain the outcomes "equivalent" and "not significant"."""
    if math.isnan(margin(difference)):
        return "Not significant: the difference is not significant; equivalence was not tested."
    return (
        "Equivalent: the equivalence test passed. Not significant: neither a difference nor equivalence is significant."
    )


def effect_panel(x: Any, outcomes: Mapping[str, tuple[str, str]] = OUTCOMES) -> Any:
    """Return one panel of effects: the zero line, intervals, and points with the colour and shape of their outcome."""
    names = list(outcomes)
    colours = alt.Scale(domain=names, range=[colour for colour, _ in outcomes.values()])
    shapes = alt.Scale(domain=names, range=[shape for _, shape in outcomes.values()])
    base = alt.Chart().encode(x=x, color=alt.Color("outcome:N", scale=colours, title=None))
    y = alt.Y("low:Q", title="after - before", scale=alt.Scale(padding=8))
    points = base.mark_point(filled=True, size=48, opacity=1).encode(
        y="value:Q", shape=alt.Shape("outcome:N", scale=shapes, title=None), tooltip=tooltips("layer", "outcome")
    )
    return alt.layer(zero_line(), base.mark_rule(strokeWidth=1.6).encode(y=y, y2="high:Q"), points).properties(**PANEL)
