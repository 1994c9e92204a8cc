"""Draw a heat map of localisation: the value of every block by each instrument (weight drift, CKA, probe ...)."""

from typing import Any

import altair as alt
import pandas as pd

from retroscope.analyses.localisation.result import BLOCKS, LocalisationResult
from retroscope.analyses.localisation.words import ROWS
from retroscope.number_format import percent
from retroscope.surgery.transplant import GRAFTED, RESTORED
from retroscope.typesetting.charts.curves import embedded
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.places import place_words

PERCENT = ("weights", "neurons", GRAFTED, RESTORED)
CELL, ROW = 46, 24  # pixels
SHADES, INK = ["#fff4ea", "#e8792b"], "#1b1f24"  # one hue, so light that one ink has a contrast of 6 on every cell
WIDEST = 640


def localisation_figures(result: LocalisationResult) -> tuple[Figure, ...]:
    """Draw a heat map of each measurement (weight drift, CKA ...) by block, or nothing if no block has a value."""
    evidence = result.evidence[result.evidence["kind"] == BLOCKS].dropna(subset=["value"])
    return () if evidence.empty else (_heat_map(evidence, result.measure),)


def _heat_map(evidence: pd.DataFrame, measure: str) -> Figure:
    largest = evidence.groupby("instrument")["value"].transform(lambda v: v.max() if v.max() > 0 else 1.0)
    order = [name for key, name in ROWS.items() if key in set(evidence["instrument"])]
    frame = evidence.assign(
        row=evidence["instrument"].map(ROWS),
        strength=(evidence["value"] / largest).clip(lower=0.0),
        label=[_label(row) for _, row in evidence.iterrows()],
        blocks=[str(p).partition(":")[2] for p in evidence["place"]],
    )[["row", "blocks", "first", "strength", "label"]]
    names = list(dict.fromkeys(frame.sort_values("first")["blocks"]))
    base = alt.Chart(embedded(frame)).encode(
        x=alt.X("blocks:O", sort=names, title="block", axis=alt.Axis(labelAngle=0, grid=False)),
        y=alt.Y("row:N", sort=order, title=None, axis=alt.Axis(grid=False, labelLimit=220)),
    )
    colour = alt.Color("strength:Q", scale=alt.Scale(range=SHADES, domain=[0, 1]), legend=None)
    chart = alt.layer(
        base.mark_rect().encode(color=colour, tooltip=["row:N", "blocks:O", "label:N"]),
        base.mark_text(fontSize=10).encode(text="label:N", color=alt.value(INK)),
    ).properties(width=min(max(CELL * len(names), 160), WIDEST), height=ROW * len(order))
    caption = (
        "Each row has its own scale; its largest value is darkest. Weight drift: norm of the weight change, divided by "
        "the norm of the weights before. Representation drift: how much CKA falls from the input to the output of the "
        "block. Similarity probe and retrieval by layer: how much the difference (after minus before) rises from the "
        "input to the output of the block, or how much it falls if the retriever is worse than the backbone. Grafted "
        f"and restored: effect of the block alone on {measure}, divided by the effect of all weights."
    )
    tops = evidence.loc[evidence.groupby("instrument", sort=False)["value"].idxmax()]
    largest_places = "; ".join(f"{ROWS[row['instrument']]}: {place_words(row['place'])}" for _, row in tops.iterrows())
    alternative = f"Block with the largest value, by measurement: {largest_places}"
    return Figure("localisation", "Where retrieval changed, by measurement", caption, alternative, chart)


def _label(row: "pd.Series[Any]") -> str:
    value = float(row["value"])
    if row["instrument"] in PERCENT:
        return percent(value)
    return f"{value:+.2f}"
