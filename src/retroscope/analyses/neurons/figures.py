"""Figures of neurons: statistics by layer with their tests, active neurons over thresholds, overlap of two models."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import altair as alt
import pandas as pd

from retroscope.analyses.neurons.ablation.figure import ablation_figure
from retroscope.analyses.neurons.data_tables import by_prefix
from retroscope.analyses.neurons.frames import LAYER_SHARE, activity_rows, effect_rows, layer_activity, profile_rows
from retroscope.analyses.neurons.maps import map_figure
from retroscope.analyses.neurons.result import NeuronResult, TowerNeurons
from retroscope.attribution.result import GINI, PARTICIPATION, TOP_SHARE
from retroscope.typesetting.charts.curves import PANEL, Selector, choosing, curves, facets, layer_axis
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.charts.outcomes import (
    EQUAL,
    GAIN,
    LOSS,
    NEITHER,
    OUTCOMES,
    effect_panel,
    no_change_words,
    outcome_of,
)
from retroscope.typesetting.charts.palette import BETWEEN
from retroscope.typesetting.frames import alpha, correction, margin

SHOWN = {  # statistic -> what its axis says
    LAYER_SHARE: "share of the total",
    GINI: "Gini index",
    TOP_SHARE: "share of the top 1 %",
    PARTICIPATION: "participation",
}
OVERLAPS = {
    "jaccard": "Jaccard index of the top neurons",
    "spearman": "rank correlation of all neurons",
}  # measure -> axis
HEIGHT = 130  # of a panel, where four rows of them stand below one another
READING = (
    "Share of the total: the attribution (sum of magnitudes) in one layer, divided by the attribution in all layers of "
    "the same kind of matrix. Gini index: 0 if all neurons of a layer have equal attribution, close to 1 if one neuron "
    "has all of the attribution. Share of the top 1 %: the part of the layer's attribution that its top 1 % of neurons "
    "have together. Participation: squared sum of the attributions, divided by n times the sum of their squares, for "
    "the n neurons of a layer; 1 if all neurons have equal attribution, 1/n if one neuron has all of the attribution."
)
OUTCOMES_HERE = {
    "higher after": OUTCOMES[GAIN],
    "lower after": OUTCOMES[LOSS],
    EQUAL: OUTCOMES[EQUAL],
    NEITHER: OUTCOMES[NEITHER],
}
NAMES = {GAIN: "higher after", LOSS: "lower after"}


def profile_figure(tower: TowerNeurons) -> Figure | None:
    """Draw statistics of the attribution by layer, such as its Gini index, with intervals over examples.

    Each statistic has a row of panels.
    """
    charts, parts = [], []
    for statistic, title in SHOWN.items():
        frame = profile_rows(tower, statistic)
        if frame.empty:
            return None
        named = frame.rename(columns={"side": "series"}).assign(line=frame["side"])
        y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=statistic == LAYER_SHARE))
        panel = curves(layer_axis(), named, y).properties(height=HEIGHT)
        charts.append(facets(panel, named, "part", tower.parts))
        parts.append(named.assign(statistic=title))
    means = profile_rows(tower, LAYER_SHARE).groupby(["part", "side"], sort=False)
    tops = (frame.loc[frame["value"].idxmax()] for _, frame in means)
    every = pd.concat(parts, ignore_index=True)
    words = "; ".join(f"{t['part']}, {t['side']}: layer {t['layer']} with {t['value']:.3f}" for t in tops)
    return Figure(
        "neuron_profile",
        "Neurons by layer",
        f"Curves are means over examples; bands are confidence intervals of the means. {READING}",
        f"Four statistics of the attribution in every layer. Largest share of the total: {words}.",
        choosing(curves(layer_axis(), every, alt.Y("value:Q", title="value")), every, _choices(tower)),
        alt.vconcat(*charts, title="Neurons by layer"),
    )


def move_figure(tower: TowerNeurons) -> Figure | None:
    """Draw how fine-tuning changed the attribution's statistics, such as its Gini index, in every layer.

    The paired differences after - before have intervals and the outcome of their test. A single model has no such
    figure.
    """
    if tower.profile is None:
        return None
    parts: list[pd.DataFrame] = []
    charts, tested = [], not math.isnan(margin(tower.profile))
    outcomes = {name: look for name, look in OUTCOMES_HERE.items() if tested or name != EQUAL}
    for statistic, title in SHOWN.items():
        frame = moves(tower, statistic)
        if frame.empty:
            return None
        panel = effect_panel(layer_axis(), outcomes).properties(height=HEIGHT)
        charts.append(facets(panel, frame, "part", tower.parts).properties(title=title))
        parts.append(frame.assign(statistic=title))
    rule = f"{correction(tower.profile)}-corrected p below {alpha(tower.profile):g}"
    return Figure(
        "neuron_moves",
        "What fine-tuning changed, by layer",
        "Bars are confidence intervals of the paired difference, after - before. Higher after, lower after: the "
        f"difference is significant ({rule}). {no_change_words(tower.profile)}",
        "Difference in share of the total, Gini index, top-1 % share and participation by layer, with intervals.",
        choosing(effect_panel(layer_axis(), outcomes), pd.concat(parts, ignore_index=True), _choices(tower)),
        alt.vconcat(*charts),
    )


def _choices(tower: TowerNeurons) -> list[Selector]:
    return [
        Selector("statistic", "statistic", SHOWN[LAYER_SHARE]),
        Selector("part", "matrix", tower.parts[0]),
    ]


def moves(tower: TowerNeurons, statistic: str) -> pd.DataFrame:
    """Return how fine-tuning changed a statistic of the attribution, with a row for each FFN matrix and layer.

    A row has the paired difference, its interval and the outcome of its test in words. The table is empty for a single
    model.
    """
    effects = effect_rows(tower, statistic)
    if tower.profile is None or effects.empty:
        return pd.DataFrame()
    outcome = [outcome_of(row, alpha(tower.profile)) for _, row in effects.iterrows()]
    renamed = effects.rename(columns={"effect": "value", "ci_low": "low", "ci_high": "high"})
    return renamed[["part", "layer", "value", "low", "high"]].assign(outcome=[NAMES.get(o, o) for o in outcome])


def activity_figure(tower: TowerNeurons) -> Figure | None:
    """Draw the share of the neurons that are active, as a function of the activity threshold.

    The share is over all layers of a kind of FFN matrix (see `frames.activity`).
    """
    frame = activity_rows(tower)
    if frame.empty:
        return None
    named = frame.rename(columns={"side": "series"}).assign(line=frame["side"])
    y = alt.Y("value:Q", title="active neurons", axis=alt.Axis(format="%"))
    panel = curves(threshold_axis(tower), named, y, "threshold")
    return Figure(
        "neuron_thresholds",
        "Active neurons over thresholds",
        "Share of active neurons, over all layers of a kind of FFN matrix. A neuron is active if the magnitude of its "
        "attribution, divided by the largest magnitude of the same example, is at least the threshold. So if the "
        "attribution of a few neurons grows, fewer of the other neurons count as active. Bands are confidence "
        "intervals over examples.",
        f"Share of the neurons that are active at the thresholds {_listed(tower)}.",
        choosing(panel, named, [Selector("part", "matrix", tower.parts[0])]),
        facets(panel, named, "part", tower.parts).properties(title="Active neurons over thresholds"),
    )


def layer_activity_figure(tower: TowerNeurons) -> Figure | None:
    """Draw the share of the neurons that are active in each layer, as a function of the activity threshold."""
    frame = layer_activity(tower)
    if frame.empty:
        return None
    sides = list(tower.sides)
    named = frame["part"] if tower.is_alone else frame["part"] + ", " + frame["side"]
    frame = frame.assign(panel=named)
    line = alt.Chart().mark_line(point=alt.OverlayMarkDef(size=26), strokeWidth=1.6).encode(
        x=threshold_axis(tower),
        y=alt.Y("value:Q", title="active neurons", axis=alt.Axis(format="%")),
        color=alt.Color("layer:Q", scale=alt.Scale(scheme="viridis"), legend=_layer_legend(frame)),
        detail="layer:N",
        tooltip=[alt.Tooltip(f"{c}:Q") for c in ("layer", "threshold", "value")],
    )  # fmt: skip
    labels = list(dict.fromkeys(frame.sort_values("part", kind="stable", key=_places(tower))["panel"]))
    chart = facets(alt.layer(line).properties(**PANEL), frame, "panel", labels, len(sides) if len(sides) > 1 else None)
    return Figure(
        "neuron_thresholds_by_layer",
        "Active neurons over thresholds, layer by layer",
        "Share of the neurons of one layer that are active. Each line is one layer, from dark (the first) to light "
        "(the last).",
        f"Share of every layer's neurons that are active at the thresholds {_listed(tower)}.",
        choosing(alt.layer(line), frame, [Selector("panel", "matrix", labels[0])]),
        chart.properties(title="Active neurons over thresholds, layer by layer"),
    )


def _places(tower: TowerNeurons) -> Callable[["pd.Series[Any]"], "pd.Series[Any]"]:
    """Return a sort key for a column of FFN matrices: the position of each matrix in the network."""
    return lambda parts: parts.map(tower.parts.index)


def _listed(tower: TowerNeurons) -> str:
    return ", ".join(f"{t:g}" for t in tower.thresholds)


def _layer_legend(frame: pd.DataFrame) -> Any:
    first, last = int(frame["layer"].min()), int(frame["layer"].max())
    return alt.Legend(title="layer", values=sorted({first, last}), format="d")


def threshold_axis(tower: TowerNeurons) -> Any:
    """Return the logarithmic x axis of activity thresholds."""
    axis = alt.Axis(values=list(tower.thresholds), format="~g", labelAngle=0, grid=False)
    return alt.X("threshold:Q", title="threshold", scale=alt.Scale(type="log", nice=False), axis=axis)


def overlap_figure(tower: TowerNeurons) -> Figure | None:
    """Draw by layer how far both models' neurons agree, by their top neurons and by the ranks of all neurons.

    For comparison, curves show how far two halves of one model's examples agree, and the agreement by chance.
    """
    frame = overlap_curves(tower)
    if frame.empty:
        return None
    rows = [_overlapping(frame[frame["measure"] == measure], title) for measure, title in OVERLAPS.items()]
    shown = [row for row in rows if row is not None]
    return Figure(
        "neuron_overlap",
        "Overlap of the neurons",
        "Agreement of two attributions: the Jaccard index of their sets of top neurons, and the correlation of the "
        f'ranks of all neurons. Line "{BETWEEN}": agreement of the two models, each on a different random half of the '
        'examples. Lines "before" and "after": agreement of one model with itself, between these halves. If both '
        f'models have the same neurons up to noise, the line "{BETWEEN}" runs between the lines "before" and "after". '
        "All lines use the same random split into halves, so all have the sampling error of this split. Grey: "
        "agreement to expect by chance.",
        "Agreement of the neurons by layer: between the two models, between two halves of each model's examples, and "
        "by chance.",
        choosing(
            curves(layer_axis(), frame, alt.Y("value:Q", title="overlap", scale=alt.Scale(zero=True))),
            frame.assign(measure=frame["measure"].map(OVERLAPS)),
            [Selector("measure", "measure", OVERLAPS["jaccard"]), Selector("part", "matrix", tower.parts[0])],
        ),
        alt.vconcat(*shown),
    )


def _overlapping(frame: pd.DataFrame, title: str) -> Any:
    if frame.empty:
        return None
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=True))
    return facets(curves(layer_axis(), frame, y).properties(**PANEL), frame, "part", list(dict.fromkeys(frame["part"])))


def overlap_curves(tower: TowerNeurons) -> pd.DataFrame:
    """Return the points of the overlap figure, with a row for each FFN matrix, layer, measure of overlap and line.

    Columns: part, layer, measure, series, line, value, low and high (both NaN). Overlaps over all layers together are
    left out.
    """
    if tower.overlap is None:
        return pd.DataFrame()
    by_layer = tower.overlap[tower.overlap["layer"] > 0]
    curves_of = [
        by_layer[["part", "layer", "measure"]].assign(series=series, line=line, value=by_layer[column])
        for column, (series, line) in OVERLAP_LINES.items()
    ]
    missing = float("nan")
    return pd.concat(curves_of, ignore_index=True).dropna(subset=["value"]).assign(low=missing, high=missing)


OVERLAP_LINES = {
    "before_halves": ("before", "before, its halves"),
    "after_halves": ("after", "after, its halves"),
    "between": (BETWEEN, BETWEEN),
    "chance": ("chance", "chance"),
}
FIGURES: dict[str, Callable[[TowerNeurons], Figure | None]] = {
    "neuron_ablation": ablation_figure,
    "neuron_profile": profile_figure,
    "neuron_moves": move_figure,
    "neuron_maps": map_figure,
    "neuron_thresholds": activity_figure,
    "neuron_thresholds_by_layer": layer_activity_figure,
    "neuron_overlap": overlap_figure,
}


def draw_neurons(tower: TowerNeurons) -> list[Figure]:
    """Draw all figures about the neurons of the query or passage encoder for which there are data."""
    return [figure for make in FIGURES.values() if (figure := make(tower)) is not None]


def neuron_figures(result: NeuronResult) -> tuple[Figure, ...]:
    """Draw all figures about neurons of the query encoder, the passage encoder, or both.

    Names and titles of figures name the encoder (tower), except for the first encoder.
    """
    drawn = []
    for prefix, tower in by_prefix(result):
        named = f" ({tower.label} tower)" if prefix else ""
        drawn += [
            replace(figure, name=f"{prefix}{figure.name}", title=f"{figure.title}{named}")
            for figure in draw_neurons(tower)
        ]
    return tuple(drawn)
