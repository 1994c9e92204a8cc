"""Heat maps of neurons, with layers as rows and bins of neighbouring neurons as columns."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from retroscope.analyses.neurons.bins import DIFFERENCE, map_rows
from retroscope.analyses.neurons.result import PUBLISHED, TowerNeurons
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.charts.palette import LOOKS
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL

PANEL_WIDTH = 250
ROW_HEIGHTS = (6, 18)  # of a layer, in pixels
FULL_HEIGHT = 200
VALUES, CHANGES = "viridis", [LOOKS[BEFORE].colour, "#e6e6e6", LOOKS[AFTER].colour]
DIGITS = 3  # significant ones


def map_figure(tower: TowerNeurons) -> Figure | None:
    """Draw heat maps of the neurons of every FFN matrix: one for each model and, for two models, their difference."""
    if not tower.parts:
        return None
    frames = {part: map_rows(tower, part) for part in tower.parts}
    shown = [_of_part(part, frame) for part, frame in frames.items()]
    together = alt.vconcat if len(tower.sides) > 1 else alt.hconcat
    chart = together(*shown, spacing=26).resolve_scale(color="independent")
    return Figure("neuron_maps", "Where the neurons are", f"{_reading(tower)} {_rule(tower)}", _words(frames), chart)


def _of_part(part: str, frame: pd.DataFrame) -> Any:
    """Draw the maps of one FFN matrix side by side. The models share a colour scale, the difference has its own."""
    names = list(dict.fromkeys(frame["map"]))
    sides = [_map(part, name, frame) for name in names if name != DIFFERENCE]
    row = alt.hconcat(*sides).resolve_scale(color="shared")
    if DIFFERENCE not in names:
        return row
    return alt.hconcat(row, _map(part, DIFFERENCE, frame)).resolve_scale(color="independent")


def _map(part: str, name: str, frame: pd.DataFrame) -> Any:
    rows = frame[frame["map"] == name]
    layers = rows["layer"].nunique()
    step = int(np.clip(FULL_HEIGHT / layers, *ROW_HEIGHTS))
    label = {DIFFERENCE: f"{part}: after - before", MODEL: part}.get(name, f"{part}: {name}")
    return (
        alt.Chart(_embedded(rows[["layer", "first", "end", "value"]]), title=label)
        .mark_rect()
        .encode(
            x=alt.X(
                "first:Q",
                title="neuron",
                scale=alt.Scale(domain=[0, int(rows["end"].max())], nice=False),
                axis=alt.Axis(tickCount=5, grid=False),
            ),
            x2="end:Q",
            y=alt.Y("layer:O", title="layer", sort="descending", axis=alt.Axis(labelOverlap="parity", grid=False)),
            color=alt.Color("value:Q", title=None, scale=_scale(name, frame), legend=_legend()),
            tooltip=[*(alt.Tooltip(f"{c}:Q") for c in ("layer", "first", "end")), alt.Tooltip("value:Q", format=".3")],
        )
        .properties(width=PANEL_WIDTH, height=step * layers)
    )


def _scale(name: str, frame: pd.DataFrame) -> Any:
    """Return a colour scale from 0 to the largest value of both models; for differences, centred on 0."""
    difference = frame["map"] == DIFFERENCE
    values = frame.loc[difference if name == DIFFERENCE else ~difference, "value"].dropna()
    top = float(values.abs().max()) if values.any() else 1.0
    if name == DIFFERENCE:
        return alt.Scale(domain=[-top, 0, top], range=CHANGES)
    return alt.Scale(domain=[0, top], scheme=VALUES)


def _legend() -> Any:
    return alt.Legend(orient="bottom", gradientLength=PANEL_WIDTH, gradientThickness=8, tickCount=4, format="~g")


def _embedded(frame: pd.DataFrame) -> Any:
    """Return chart data with the rows embedded, rounded to `DIGITS` significant digits."""
    rounded = [float(f"{value:.{DIGITS}g}") for value in frame["value"]]
    return alt.InlineData(values=frame.assign(value=rounded).to_json(orient="records"))


def _reading(tower: TowerNeurons) -> str:
    value, within = tower.heat_map.value, tower.heat_map.within
    what = (
        "the magnitude of its attribution, divided by the largest magnitude of the same example (mean over examples)"
        if isinstance(value, str)
        else "the share of the examples in which it is active (its attribution has a magnitude of at least "
        f"{value:g} times the largest magnitude of the same example)"
    )
    text = (
        f"Colour is the {'mean' if within == 'mean' else 'largest'} value of the neurons in a bin. The value of a "
        f"neuron is {what}."
    )
    if tower.profile is None:
        return text
    return (
        f"{text} If the attribution of a few neurons grows, the values of all other neurons fall. Both models share "
        "one colour scale. The difference has its own scale, in the colour of the model that is higher. Neuron numbers "
        "are comparable only if one model was fine-tuned from the other."
    )


def _rule(tower: TowerNeurons) -> str:
    layout = tower.heat_map
    text = (
        f"Every neuron is in one bin: bin i of {layout.bins} holds neurons floor(i n / {layout.bins}) to "
        f"floor((i + 1) n / {layout.bins}) - 1 of n."
    )
    if (layout.bins, layout.within) == (PUBLISHED.bins, PUBLISHED.within):
        text += (
            " Ten bins, and the largest value in each, are the layout of arXiv 2505.07166. The paper's own bins of "
            "floor(n / 10) neurons leave out the last neurons (8 of 768, 2 of 3072)."
        )
    return text


def _words(frames: dict[str, pd.DataFrame]) -> str:
    """Describe where each map is highest, as alternative text of the figure."""
    peaks = []
    for part, frame in frames.items():
        for name, rows in frame.groupby("map", sort=False):
            measured = rows.dropna(subset=["value"])
            if len(measured):
                top = measured.loc[measured["value"].abs().idxmax()]
                peaks.append(
                    f"{part}, {name}: largest {'value' if name != DIFFERENCE else 'difference'} {top['value']:.3g} at "
                    f"layer {top['layer']}, neurons {top['first']} to {top['end'] - 1}"
                )
    return "Heat maps of neurons by layer. " + "; ".join(peaks) + "."
