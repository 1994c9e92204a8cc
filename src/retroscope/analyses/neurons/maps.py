"""Heat maps of neurons: layer by bin, every neuron in one bin."""

import json
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from retroscope.analyses.neurons.result import COUNT, PUBLISHED, SHARE, THRESHOLD, HeatMap, TowerNeurons, nearest
from retroscope.attribution.result import NeuronAttribution
from retroscope.errors import unknown_name
from retroscope.typesetting.figure import Figure
from retroscope.typesetting.palette import LOOKS
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL

DIFFERENCE = "difference"
PANEL_WIDTH = 250
ROW_HEIGHTS = (6, 18)  # of a layer, in pixels
FULL_HEIGHT = 200
VALUES, CHANGES = "viridis", [LOOKS[BEFORE].colour, "#e6e6e6", LOOKS[AFTER].colour]
DIGITS = 3  # significant ones


def bin_edges(n: int, bins: int) -> Int[np.ndarray, "edge"]:
    """Return the first neuron of every bin, then `n`.

    Bin i of B holds neurons floor(i n / B) to floor((i + 1) n / B) - 1. Bins differ by one neuron at most and none is
    empty: there are no more bins than neurons.
    """
    chosen = min(bins, n)
    return np.arange(chosen + 1) * n // chosen


def binned(values: Float[np.ndarray, "layer neuron"], layout: HeatMap) -> Float[np.ndarray, "layer bin"]:
    """Return the mean or the largest value of every bin."""
    edges = bin_edges(values.shape[1], layout.bins)
    if layout.within == "max":
        return np.maximum.reduceat(values, edges[:-1], axis=1)
    return np.asarray(np.add.reduceat(values, edges[:-1], axis=1) / np.diff(edges))


def neuron_values(made: NeuronAttribution, part: str, value: str | float) -> Float[np.ndarray, "layer neuron"]:
    """Return the mean share of every neuron, or the part of the examples in which it is active at a threshold.

    Examples of noise are left out of both.
    """
    data = made.neurons[part]
    if isinstance(value, str):
        return np.asarray(data[SHARE].transpose("layer", "neuron").values, dtype=np.float64)
    counted = data[COUNT].coords[THRESHOLD].values.tolist()
    place = nearest(value, counted)
    if place is None:
        raise unknown_name("threshold of the heat map", f"{value:g}", [f"{t:g}" for t in counted])
    counts = data[COUNT].isel(threshold=place).transpose("layer", "neuron").values
    return counts / max(made.examples - made.noise, 1)


def map_rows(tower: TowerNeurons, part: str) -> pd.DataFrame:
    """Return a row a layer and bin: layer, first, end (neurons first to end - 1), a column a side, and `difference`.

    The difference, after - before, is there where both sides have as many neurons.
    """
    layout = tower.heat_map
    found = tower.attributions
    maps = {name: binned(neuron_values(made, part, layout.value), layout) for name, made in found.items()}
    widths = {made.neurons[part].sizes["neuron"] for made in found.values()}
    if len(maps) == 2 and len(widths) == 1:
        maps[DIFFERENCE] = maps[AFTER] - maps[BEFORE]
    frames = [_long(name, grid, tower, part) for name, grid in maps.items()]
    return pd.concat(frames, ignore_index=True)


def _long(name: str, grid: Float[np.ndarray, "layer bin"], tower: TowerNeurons, part: str) -> pd.DataFrame:
    data = tower.attributions[AFTER if name == DIFFERENCE else name].neurons[part]
    edges = bin_edges(data.sizes["neuron"], tower.heat_map.bins)
    layers, bins = grid.shape
    return pd.DataFrame(
        {
            "part": part,
            "map": name,
            "layer": np.repeat(data["layer"].values.astype(int), bins),
            "first": np.tile(edges[:-1], layers),
            "end": np.tile(edges[1:], layers),
            "value": grid.ravel(),
        }
    )


def map_figure(tower: TowerNeurons) -> Figure | None:
    """Draw heat maps of every part: one for each side and, where they can be paired, one of the difference."""
    if not tower.parts:
        return None
    frames = {part: map_rows(tower, part) for part in tower.parts}
    shown = [_of_part(part, frame) for part, frame in frames.items()]
    together = alt.vconcat if len(tower.sides) > 1 else alt.hconcat
    chart = together(*shown, spacing=26).resolve_scale(color="independent")
    return Figure("neuron_maps", "Where the neurons are", f"{_reading(tower)} {_rule(tower)}", _words(frames), chart)


def _of_part(part: str, frame: pd.DataFrame) -> Any:
    """Draw a row of maps: the sides share a scale, the difference has one of its own."""
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
    """Return a scale from 0 up to the largest value of both sides; differences around 0."""
    difference = frame["map"] == DIFFERENCE
    values = frame.loc[difference if name == DIFFERENCE else ~difference, "value"].dropna()
    top = float(values.abs().max()) if values.any() else 1.0
    if name == DIFFERENCE:
        return alt.Scale(domain=[-top, 0, top], range=CHANGES)
    return alt.Scale(domain=[0, top], scheme=VALUES)


def _legend() -> Any:
    return alt.Legend(orient="bottom", gradientLength=PANEL_WIDTH, gradientThickness=8, tickCount=4, format="~g")


def _embedded(frame: pd.DataFrame) -> Any:
    """Return rows inside the chart, values to `DIGITS` significant digits: they may be small."""
    rounded = [float(f"{value:.{DIGITS}g}") for value in frame["value"]]
    return alt.InlineData(values=json.loads(frame.assign(value=rounded).to_json(orient="records")))


def _reading(tower: TowerNeurons) -> str:
    value, within = tower.heat_map.value, tower.heat_map.within
    what = (
        "share of its example's largest magnitude, mean over examples"
        if isinstance(value, str)
        else f"part of the examples in which it is active (a share of at least {value:g} of its example's largest "
        "magnitude)"
    )
    said = (
        f"Colour is the {'mean' if within == 'mean' else 'largest'} value of a bin's neurons; a neuron's is its {what}."
    )
    if tower.profile is None:
        return said
    return (
        f"{said} A few neurons that grow lower the shares of all others. "
        "Both sides have one scale; the difference has its own, in the colour of the side that is higher. "
        "Neuron numbers mean the same on both sides only where one model was made from the other."
    )


def _rule(tower: TowerNeurons) -> str:
    layout = tower.heat_map
    said = (
        f"Every neuron is in one bin: bin i of {layout.bins} holds neurons floor(i n / {layout.bins}) to "
        f"floor((i + 1) n / {layout.bins}) - 1 of n."
    )
    if (layout.bins, layout.within) == (PUBLISHED.bins, PUBLISHED.within):
        said += (
            " Ten bins and the largest in each are the layout of arXiv 2505.07166; its own bins of floor(n / 10) "
            "neurons leave out the last ones (8 of 768, 2 of 3072)."
        )
    return said


def _words(frames: dict[str, pd.DataFrame]) -> str:
    """Say where each map is highest."""
    said = []
    for part, frame in frames.items():
        for name, rows in frame.groupby("map", sort=False):
            found = rows.dropna(subset=["value"])
            if len(found):
                top = found.loc[found["value"].abs().idxmax()]
                said.append(
                    f"{part}, {name}: {'most' if name != DIFFERENCE else 'largest'} {top['value']:.3g} at layer "
                    f"{top['layer']}, neurons {top['first']} to {top['end'] - 1}"
                )
    return "Heat maps of neurons by layer. " + "; ".join(said) + "."
