"""Figures of attention heads: estimated effects of all heads, and estimated against exact effects."""

import altair as alt
import numpy as np
import pandas as pd

from retroscope.analyses.heads.result import HeadResult
from retroscope.typesetting.charts.curves import PANEL, embedded, facets
from retroscope.typesetting.charts.figure import Figure


def head_figures(result: HeadResult) -> tuple[Figure, ...]:
    """Draw a map of the estimated effects of all heads, and the ablated heads' estimated against exact effects."""
    return _map(result), _errors(result)


def _map(result: HeadResult) -> Figure:
    parts = []
    for side, one in result.sides.items():
        layers, heads = one.estimates.shape
        parts.append(
            pd.DataFrame(
                {
                    "side": side,
                    "layer": np.repeat(np.arange(1, layers + 1), heads),
                    "head": np.tile(np.arange(heads), layers),
                    "value": one.estimates.ravel(),
                }
            )
        )
    frame = pd.concat(parts, ignore_index=True)
    largest = float(frame["value"].abs().max()) or 1.0
    scale = alt.Scale(scheme="redblue", domain=[-largest, largest])
    panel = alt.Chart(embedded(frame)).mark_rect().encode(
        x=alt.X("head:O", title="head", axis=alt.Axis(labelAngle=0, labelOverlap="parity")),
        y=alt.Y("layer:O", title="layer", sort="descending"),
        color=alt.Color("value:Q", title="change of the margin (SD)", scale=scale),
        tooltip=["side:N", "layer:O", "head:O", alt.Tooltip("value:Q", format=".3f")],
    ).properties(**PANEL)  # fmt: skip
    low = frame.loc[frame["value"].idxmin()]
    return Figure(
        "head_estimates",
        "Heads that the margin depends on",
        "First-order estimate of how the margin (score of the relevant passage minus score of a hard negative) changes "
        "when one head is fixed at its mean, in standard deviations of the intact margin. Red: the margin falls when "
        "the head is fixed.",
        f"Estimated change of the margin by layer and head; the lowest value is {low['value']:.3f} in layer "
        f"{low['layer']}, head {low['head']}.",
        facets(panel, frame, "side", list(result.sides)),
    )


def _errors(result: HeadResult) -> Figure:
    frame = pd.concat([heads.table.assign(side=side) for side, heads in result.sides.items()], ignore_index=True)
    ends = [float(frame[["estimate", "effect"]].min().min()), float(frame[["estimate", "effect"]].max().max())]
    points = alt.Chart().mark_point(filled=True, size=45).encode(
        x=alt.X("estimate:Q", title="first order (SD)"),
        y=alt.Y("effect:Q", title="exact (SD)"),
        color=alt.Color("role:N", title="head"),
        tooltip=["head:N", "role:N", alt.Tooltip("estimate:Q", format=".3f"), alt.Tooltip("effect:Q", format=".3f")],
    )  # fmt: skip
    line = alt.Chart(embedded(pd.DataFrame({"at": ends}))).mark_line(strokeDash=[4, 3], color="#888888").encode(
        x="at:Q", y="at:Q"
    )  # fmt: skip
    return Figure(
        "head_errors",
        "First-order estimates against exact ablation",
        "Change of the margin when one head is fixed at its mean, in standard deviations (SD) of the intact margin. "
        "Each point is one head that was ablated exactly. On the line, the estimate equals the exact change.",
        f"Estimated against exact change of the margin, for {len(frame)} heads.",
        facets(alt.layer(line, points).properties(**PANEL), frame, "side", list(result.sides)),
    )
