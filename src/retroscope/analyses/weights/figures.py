"""Figure of the change of weights by layer and part."""

import altair as alt

from retroscope.analyses.weights.words import PART_NAMES
from retroscope.drift.result import WeightDrift
from retroscope.typesetting.charts.curves import embedded
from retroscope.typesetting.charts.figure import Figure

ROW_HEIGHT = 16  # of a layer in the heat map, in pixels
COLUMN_WIDTH = 62  # five columns fit a phone


def weight_figures(drift: WeightDrift, tower: str = "") -> list[Figure]:
    """Return a heat map of the weight changes by layer and part, or no figure if no tensor was compared.

    Args:
        drift: change of the weights of one tower, or of both if they share their weights.
        tower: name of the tower, if the towers do not share their weights.
    """
    return [] if drift.groups.empty else [_heat_map(drift, tower)]


def _heat_map(drift: WeightDrift, tower: str) -> Figure:
    rows = drift.groups.assign(
        part=[PART_NAMES[p] for p in drift.groups["part"]], percent=[100 * float(r) for r in drift.groups["relative"]]
    )
    top = rows.loc[rows["relative"].idxmax()]
    parts = [name for name in PART_NAMES.values() if name in set(rows["part"])]
    chart = (
        alt.Chart(embedded(rows[["layer", "part", "percent", "tensors", "changed"]]))
        .mark_rect()
        .encode(
            x=alt.X("part:O", sort=parts, title=None, axis=alt.Axis(labelAngle=0, orient="top", grid=False)),
            y=alt.Y("layer:O", sort="descending", title="layer", axis=alt.Axis(labelOverlap="parity", grid=False)),
            color=alt.Color(
                "percent:Q",
                title="% of the norm before",
                scale=alt.Scale(scheme="viridis", domainMin=0),
                legend=alt.Legend(orient="bottom", title="% of the norm before"),  # beside it, a phone would cut it off
            ),
            tooltip=["part:N", "layer:O", alt.Tooltip("percent:Q", format=".3"), "changed:Q", "tensors:Q"],
        )
        .properties(width=COLUMN_WIDTH * len(parts), height=ROW_HEIGHT * rows["layer"].nunique())
    )
    caption = (
        "Frobenius norm of the weight change, divided by the norm of the weights before, for the tensors of one part "
        "in one layer. Layer 0 is the embeddings; layer k is block k. FFN in and FFN out: input and output matrices of "
        "the FFN."
    )
    words = (
        "Heat map of the norm of the weight change, divided by the norm before. The largest value is "
        f"{top['percent']:.3g} %, at layer {top['layer']}, {top['part']}"
    )
    title = f"Drift of the weights{f' of the {tower} tower' if tower else ''}"
    return Figure(f"weights_{tower}" if tower else "weights", title, caption, words, chart)
