"""Figure of the similarities of queries to relevant and to other passages, at a layer that the reader chooses."""

from typing import Any

import altair as alt
import pandas as pd

from retroscope.analyses.layers.result import Similarities
from retroscope.number_format import count, percent
from retroscope.typesetting.charts.curves import Selector, choosing
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

KINDS = {"relevant": "#009E73", "other": "#8a8a8a"}
UP = {BEFORE: 1, AFTER: -1}  # before is drawn upwards from the axis, after downwards
HEIGHT = 300


def similarities_figure(similarities: Similarities, subject: Subject) -> Figure:
    """Draw histograms of query-passage similarities, one layer at a time: bars go up for before, down for after."""
    frame, last = _rows(similarities), int(similarities.above["layer"].max())
    names = tuple((layer, subject.layer_label(layer)) for layer in sorted(set(frame["layer"])))
    panel = _mirrored().properties(height=HEIGHT)
    chart = choosing(panel, frame, [Selector("layer", "layer", last, names)]).properties(height=HEIGHT)
    ends = similarities.above[similarities.above["layer"] == last].set_index("side")["above"]
    shares = [percent(float(ends[side])) for side in (BEFORE, AFTER)]
    words = (
        f"Histograms of similarity at layer {subject.layer_label(last)}: a relevant passage is more similar to its "
        f"query than {shares[0]} of other passages before, and {shares[1]} after."
    )
    totals = frame.groupby("passages")["pairs"].first()
    caption = (
        "Share of the query-passage pairs in each bin of similarity. Bars go upwards before fine-tuning and downwards "
        f"after. The sample has {count(similarities.queries, 'query')} and {count(similarities.passages, 'passage')} "
        f"(seed 0): {totals['relevant']:,} pairs with relevant passages and {totals['other']:,} with other passages. "
        "The better a layer separates both kinds of pairs, the less the two colours overlap."
    )
    paper = choosing(_mirrored(), frame[frame["layer"] == last], ()).properties(width=400, height=HEIGHT)
    return Figure("similarities", "Relevant and other passages, layer by layer", caption, words, chart, paper)


def _rows(similarities: Similarities) -> pd.DataFrame:
    """Return a row for each bin of similarity: its share of the relevant or other pairs of one model.

    The column "up" is this share, negative after fine-tuning, because these bars are drawn downwards.
    """
    frame = similarities.counts.copy()
    frame["pairs"] = frame.groupby(["side", "layer", "passages"])["count"].transform("sum")
    frame["share"] = frame["count"] / frame["pairs"].clip(lower=1)
    frame["up"] = frame["share"] * frame["side"].map(UP)
    above = similarities.above.set_index(["side", "layer"])["above"]
    first = ~frame.duplicated(["side", "layer"])
    frame["words"] = [
        f"{side}: relevant above {percent(float(above[side, layer]))} of others" if is_first else ""
        for side, layer, is_first in zip(frame["side"], frame["layer"], first, strict=True)
    ]
    return frame[(frame["count"] > 0) | first].drop(columns="count")


def _mirrored() -> Any:
    """Draw one layer: bars go up before fine-tuning and down after it. A text gives the share in `above`."""
    scale = alt.Scale(domain=list(KINDS), range=list(KINDS.values()))
    x = alt.X("low:Q", title="similarity to the query", scale=alt.Scale(zero=False))
    share = alt.Axis(format="%", labelExpr="replace(datum.label, '\u2212', '')")
    y = alt.Y("up:Q", title="after | share of pairs | before", axis=share)
    tips = [
        alt.Tooltip("side:N"), alt.Tooltip("passages:N"), alt.Tooltip("low:Q", format=".3f"),
        alt.Tooltip("high:Q", format=".3f"), alt.Tooltip("share:Q", format=".1%"),
    ]  # fmt: skip
    bars = alt.Chart().mark_rect(opacity=0.55).encode(
        x=x, x2="high:Q", y=y, y2=alt.datum(0), tooltip=tips,
        color=alt.Color("passages:N", scale=scale, title=None),
    )  # fmt: skip
    axis = alt.Chart().mark_rule(color="#9a9a9a").encode(y=alt.datum(0))
    words = [
        alt.Chart().mark_text(align="left", baseline=baseline, fontSize=12, dx=6, dy=dy)
        .transform_filter(f"datum.words !== '' && datum.side === '{side}'")
        .encode(x=alt.value(0), y=alt.value(place), text="words:N")
        .properties(name=f"words_{side}")
        for side, place, baseline, dy in ((BEFORE, 0, "top", 6), (AFTER, HEIGHT, "bottom", -6))
    ]  # fmt: skip
    return alt.layer(bars, axis, *words)
