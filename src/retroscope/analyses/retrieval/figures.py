"""Figures of retrieval: measures before and after, and scores query by query."""

import altair as alt
import pandas as pd

from retroscope.analyses.retrieval.result import RetrievalResult
from retroscope.number_format import count, score
from retroscope.statistics import Difference
from retroscope.typesetting.charts.curves import embedded, tooltips
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.charts.palette import LOOKS, series_channels
from retroscope.typesetting.frames import by_side, rows
from retroscope.typesetting.subject import AFTER, BEFORE

ROW = 40  # pixels of a measure
BETTER, WORSE, SAME = "higher after fine-tuning", "lower after fine-tuning", "no change"


def retrieval_figures(result: RetrievalResult) -> tuple[Figure, ...]:
    """Draw two figures of the first collection: every measure before and after, and the scores query by query."""
    figures = (measures_figure(result.effect), flips_figure(result))
    return tuple(figure for figure in figures if figure is not None)


def measures_figure(effect: Difference) -> Figure | None:
    """Draw the mean of every retrieval measure with its interval, before and after fine-tuning."""
    frame = by_side(rows(effect), ["measure"]).rename(columns={"side": "series"})
    if frame.empty:
        return None
    channels = series_channels([BEFORE, AFTER])
    measures = list(dict.fromkeys(frame["measure"]))
    base = alt.Chart(embedded(frame)).encode(
        y=alt.Y("measure:N", sort=measures, title=None, axis=alt.Axis(grid=False)),
        yOffset=alt.YOffset("series:N", sort=[BEFORE, AFTER]),
        color=channels["color"],
    )
    bars = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title="score", scale=alt.Scale(domainMin=0), axis=alt.Axis(tickCount=8)), x2="high:Q"
    )
    tips = [alt.Tooltip("series:N"), *tooltips("measure")]
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x="value:Q", shape=channels["shape"], tooltip=tips)
    drawn = alt.layer(bars, points)
    height = ROW * frame["measure"].nunique()
    chart, paper = (drawn.properties(width=width, height=height) for width in ("container", 620))
    means = rows(effect)
    words = "; ".join(f"{r['measure']} {score(r[BEFORE])} before, {score(r[AFTER])} after" for _, r in means.iterrows())
    caption = "Points are means over queries; bars are confidence intervals of the means."
    return Figure("retrieval", "Retrieval by measure", caption, words, chart, paper.properties(title="Retrieval"))


def flips_figure(result: RetrievalResult) -> Figure | None:
    """Draw every query's score after fine-tuning against its score before. Queries with equal scores share a point."""
    pairs = query_pairs(result)
    if pairs.empty:
        return None
    m = result.flip_measure
    top = max(1.0, float(pairs[[BEFORE, AFTER]].max().max()))
    diagonal = alt.Chart(alt.InlineData(values=[{"at": 0}, {"at": top}])).mark_line(color="#9a9a9a", strokeDash=[2, 4])
    scale = alt.Scale(domain=[BETTER, WORSE, SAME], range=[LOOKS[AFTER].colour, LOOKS[BEFORE].colour, "#9a9a9a"])
    shapes = alt.Scale(domain=[BETTER, WORSE, SAME], range=["square", "circle", "cross"])
    points = alt.Chart(embedded(pairs)).mark_point(filled=True, opacity=0.75).encode(
        x=alt.X(f"{BEFORE}:Q", title=f"{m} before"),
        y=alt.Y(f"{AFTER}:Q", title=f"{m} after"),
        size=alt.Size("queries:Q", scale=alt.Scale(range=[20, 500]), legend=None),
        color=alt.Color("change:N", scale=scale, title=None),
        shape=alt.Shape("change:N", scale=shapes, title=None),
        tooltip=[alt.Tooltip(f"{BEFORE}:Q"), alt.Tooltip(f"{AFTER}:Q"), alt.Tooltip("queries:Q")],
    )  # fmt: skip
    drawn = alt.layer(diagonal.encode(x="at:Q", y="at:Q"), points)
    chart, paper = (drawn.properties(width=width, height=height) for width, height in (("container", 300), (380, 380)))
    tally = pairs.groupby("change")["queries"].sum()
    words = "; ".join(f"{count(int(tally.get(c, 0)), 'query')}: {c}" for c in (BETTER, WORSE, SAME))
    caption = (
        f"Each point stands for the queries with the same {m} before and the same {m} after. The area of a point "
        "shows the number of these queries."
    )
    return Figure("flips", "Query by query", caption, words, chart, paper.properties(title="Query by query"))


def query_pairs(result: RetrievalResult) -> pd.DataFrame:
    """Return how many queries have the same two scores, before and after: one row for each pair of scores.

    The columns are before, after, queries (their number) and change (which side is higher).
    """
    both_sides = {BEFORE: result.effect.before, AFTER: result.effect.after}
    sides = {s: scores.select(measure=result.flip_measure).values.to_series() for s, scores in both_sides.items()}
    both = pd.DataFrame(sides).dropna().round(3)
    pairs = both.groupby([BEFORE, AFTER]).size().rename("queries").reset_index()
    change = pairs[AFTER] - pairs[BEFORE]
    pairs["change"] = [BETTER if c > 0 else WORSE if c < 0 else SAME for c in change]
    return pairs
