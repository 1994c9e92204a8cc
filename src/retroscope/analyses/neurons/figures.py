"""Figures of neurons: statistics by layer with their tests, activity over thresholds."""

import math
from collections.abc import Callable
from typing import Any

import altair as alt
import pandas as pd

from retroscope.analyses.neurons.frames import LAYER_SHARE, activity_rows, effect_rows, layer_activity, profile_rows
from retroscope.analyses.neurons.result import GINI, PARTICIPATION, SINGLE, TOP_SHARE, NeuronFindings
from retroscope.typesetting.curves import PANEL, curves, facets, layer_axis
from retroscope.typesetting.figure import Figure
from retroscope.typesetting.frames import alpha, correction, margin
from retroscope.typesetting.outcomes import EQUAL, GAIN, LOSS, NEITHER, OUTCOMES, effect_panel, outcome_of

SHOWN = {  # statistic -> what its axis says
    LAYER_SHARE: "share of the total",
    GINI: "Gini index",
    TOP_SHARE: "held by the top 1 %",
    PARTICIPATION: "participation",
}
HEIGHT = 130  # of a panel, where four rows of them stand below one another
READING = (
    "Share of the total: a layer's part of the sum of magnitudes over all layers of that matrix. Gini index: 0 where "
    "all neurons of a layer are equal, towards 1 where one holds everything. Held by the top 1 %: their part of the "
    "layer's sum. Participation: the part of the neurons that would do if they shared equally; it falls as the others "
    "rise."
)
MOVES = {
    "higher after": OUTCOMES[GAIN],
    "lower after": OUTCOMES[LOSS],
    EQUAL: OUTCOMES[EQUAL],
    NEITHER: OUTCOMES[NEITHER],
}
MOVE = {GAIN: "higher after", LOSS: "lower after"}


def profile_figure(findings: NeuronFindings) -> Figure | None:
    """Every statistic by layer, a row of panels each, with intervals over units."""
    charts = []
    for statistic, title in SHOWN.items():
        frame = profile_rows(findings, statistic)
        if frame.empty:
            return None
        named = frame.rename(columns={"side": "series"}).assign(line=frame["side"])
        y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=statistic == LAYER_SHARE))
        panel = curves(layer_axis(), named, y).properties(height=HEIGHT)
        charts.append(facets(panel, named, "part", findings.parts))
    means = profile_rows(findings, LAYER_SHARE).groupby(["part", "side"], sort=False)
    tops = (frame.loc[frame["value"].idxmax()] for _, frame in means)
    words = "; ".join(f"{t['part']}, {t['side']}: layer {t['layer']} with {t['value']:.3f}" for t in tops)
    return Figure(
        "neuron_profile",
        "Neurons by layer",
        f"Means over units; bands are their intervals. {READING}",
        f"Four statistics of every layer's neurons. Largest share of the total: {words}.",
        alt.vconcat(*charts, title="Neurons by layer"),
    )


def move_figure(findings: NeuronFindings) -> Figure | None:
    """The paired effect of fine-tuning on every statistic and layer, and what its tests say."""
    if findings.profile is None:
        return None
    charts, tested = [], not math.isnan(margin(findings.profile))
    outcomes = {name: look for name, look in MOVES.items() if tested or name != EQUAL}
    for statistic, title in SHOWN.items():
        frame = moves(findings, statistic)
        if frame.empty:
            return None
        panel = effect_panel(layer_axis(), outcomes).properties(height=HEIGHT)
        charts.append(facets(panel, frame, "part", findings.parts).properties(title=title))
    equal = "Equivalent: shown by the equivalence test. No evidence: neither was shown."
    rule = f"{correction(findings.profile)}-corrected p below {alpha(findings.profile):g}"
    return Figure(
        "neuron_moves",
        "What fine-tuning moved, by layer",
        f"Bars are intervals of the paired difference, after - before. Higher and lower: {rule}. "
        f"{equal if tested else 'No evidence: no difference was shown.'}",
        "Difference in share of the total, Gini index, top-1 % share and participation by layer, with intervals.",
        alt.vconcat(*charts),
    )


def moves(findings: NeuronFindings, statistic: str) -> pd.DataFrame:
    """One row per part and layer: value, low, high of a statistic's paired difference, and its outcome in words."""
    found = effect_rows(findings, statistic)
    if findings.profile is None or found.empty:
        return pd.DataFrame()
    outcome = [outcome_of(row, alpha(findings.profile)) for _, row in found.iterrows()]
    kept = found.rename(columns={"effect": "value", "ci_low": "low", "ci_high": "high"})
    return kept[["part", "layer", "value", "low", "high"]].assign(outcome=[MOVE.get(o, o) for o in outcome])


def activity_figure(findings: NeuronFindings) -> Figure | None:
    """The part of a matrix's neurons that are active, over thresholds."""
    frame = activity_rows(findings)
    if frame.empty:
        return None
    named = frame.rename(columns={"side": "series"}).assign(line=frame["side"])
    y = alt.Y("value:Q", title="active neurons", axis=alt.Axis(format="%"))
    chart = facets(curves(threshold_axis(findings), named, y, "threshold"), named, "part", findings.parts)
    return Figure(
        "neuron_thresholds",
        "Active neurons over thresholds",
        "Part of a matrix's neurons, over all layers, whose magnitude is at least the threshold times the unit's "
        "largest, so that a few neurons that grow make all others less active. Bands are intervals over units. A count "
        "at one threshold is one point of this curve.",
        f"Part of the neurons that are active at the thresholds {_listed(findings)}.",
        chart.properties(title="Active neurons over thresholds"),
    )


def layer_activity_figure(findings: NeuronFindings) -> Figure | None:
    """The same by layer: one line a layer."""
    frame = layer_activity(findings)
    if frame.empty:
        return None
    sides = list(findings.sides)
    named = frame["part"] if sides == [SINGLE] else frame["part"] + ", " + frame["side"]
    frame = frame.assign(panel=named)
    line = alt.Chart().mark_line(point=alt.OverlayMarkDef(size=26), strokeWidth=1.6).encode(
        x=threshold_axis(findings),
        y=alt.Y("value:Q", title="active neurons", axis=alt.Axis(format="%")),
        color=alt.Color("layer:Q", scale=alt.Scale(scheme="viridis"), legend=_layer_legend(frame)),
        detail="layer:N",
        tooltip=[alt.Tooltip(f"{c}:Q") for c in ("layer", "threshold", "value")],
    )  # fmt: skip
    labels = list(dict.fromkeys(frame.sort_values("part", kind="stable", key=_places(findings))["panel"]))
    chart = facets(alt.layer(line).properties(**PANEL), frame, "panel", labels, len(sides) if len(sides) > 1 else None)
    return Figure(
        "neuron_thresholds_by_layer",
        "Active neurons over thresholds, layer by layer",
        "One line a layer, from dark (the first) to light (the last).",
        f"Part of every layer's neurons that are active at the thresholds {_listed(findings)}.",
        chart.properties(title="Active neurons over thresholds, layer by layer"),
    )


def _places(findings: NeuronFindings) -> Callable[["pd.Series[Any]"], "pd.Series[Any]"]:
    """Parts by their place, not by their name."""
    return lambda parts: parts.map(findings.parts.index)


def _listed(findings: NeuronFindings) -> str:
    return ", ".join(f"{t:g}" for t in findings.thresholds)


def _layer_legend(frame: pd.DataFrame) -> Any:
    first, last = int(frame["layer"].min()), int(frame["layer"].max())
    return alt.Legend(title="layer", values=sorted({first, last}), format="d")


def threshold_axis(findings: NeuronFindings) -> Any:
    """The x axis of thresholds, logarithmic."""
    axis = alt.Axis(values=list(findings.thresholds), format="~g", labelAngle=0, grid=False)
    return alt.X("threshold:Q", title="threshold", scale=alt.Scale(type="log", nice=False), axis=axis)
