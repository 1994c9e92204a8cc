"""Figures of the probes: curves against controls, effects with their tests, selectivity."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from retroscope.analyses.probes.selectivity import selectivity
from retroscope.study.findings import Findings
from retroscope.typesetting.curves import PANEL, choosing_n, curves, facets, layer_axis, tooltips, zero_line
from retroscope.typesetting.figure import Figure
from retroscope.typesetting.frames import PLAIN, alpha, by_side, correction, probe_rows
from retroscope.typesetting.palette import CHANCE, CONTROL_NAMES, LOOKS
from retroscope.typesetting.subject import AFTER, BEFORE
from retroscope.typesetting.words import is_equivalent

ACCURACY = alt.Y("value:Q", title="accuracy", scale=alt.Scale(domain=[0, 1]))
GAIN, LOSS, EQUAL, NEITHER = "gain", "loss", "equivalent", "no evidence"
OUTCOMES = {  # a gain has the colour of "after", a loss that of "before"
    GAIN: (LOOKS[AFTER].colour, "square"),
    LOSS: (LOOKS[BEFORE].colour, "circle"),
    EQUAL: ("#009E73", "diamond"),
    NEITHER: ("#8a8a8a", "cross"),
}


def own_question_figure(findings: Findings) -> Figure | None:
    """The retriever's own question at every N, with its controls."""
    frame = probe_curves(findings)
    frame = frame[frame["probe"] == findings.after.similarity] if len(frame) else frame
    if frame.empty:
        return None
    numbers = sorted(int(n) for n in frame["passages"].unique())
    frame = frame.assign(panel=[f"N = {n}" for n in frame["passages"]]).drop(columns=["probe", "passages"])
    probe = findings.after.similarity
    chart = facets(
        curves(layer_axis(findings.layer_names), frame, ACCURACY), frame, "panel", [f"N = {n}" for n in numbers]
    )
    return Figure(
        "own_question",
        f"The retriever's own question: {probe}",
        "Accuracy of choosing the relevant passage among N by the similarity itself. No parameters are trained. "
        "Grey lines are controls, of both sides.",
        f"Accuracy of the probe {probe} by layer for N = {', '.join(map(str, numbers))}, before, after and controls.",
        chart.properties(title=f"The retriever's own question ({probe})"),
    )


def family_figure(findings: Findings) -> Figure | None:
    """Every probe against its controls, with a selector of N."""
    frame = probe_curves(findings)
    if frame.empty:
        return None
    probes = list(dict.fromkeys(frame["probe"]))
    chart = facets(curves(layer_axis(findings.layer_names), frame, ACCURACY), frame, "probe", probes)
    return Figure(
        "probes",
        "Probes and controls",
        "One panel per probe. passage_only never reads the query: what another probe reads above it needs the query.",
        f"Accuracy by layer of the probes {', '.join(probes)}, before, after and controls.",
        choosing_n(chart, _numbers(frame), "Probes and controls"),
    )


def effect_figure(findings: Findings) -> Figure | None:
    """The effect of fine-tuning on every probe and layer, and what its tests say."""
    frame = effect_points(findings)
    if frame.empty or findings.probing is None:
        return None
    probes = list(dict.fromkeys(frame["probe"]))
    chart = facets(effect_panel(layer_axis(findings.layer_names)), frame, "probe", probes)
    rule = f"{correction(findings.probing)}-corrected p below {alpha(findings.probing):g}"
    return Figure(
        "effects",
        "Effect of fine-tuning by layer",
        f"Bars are intervals of the paired difference. Gain and loss: {rule}. Equivalent: shown by the equivalence "
        "test. No evidence: neither was shown.",
        f"Difference in accuracy by layer for the probes {', '.join(probes)}, with intervals.",
        choosing_n(chart, _numbers(frame), "Effect of fine-tuning on accuracy"),
    )


def effect_panel(x: Any, outcomes: Mapping[str, tuple[str, str]] = OUTCOMES) -> Any:
    """One panel of effects: the zero line, intervals, and points with the colour and shape of their outcome."""
    names = list(outcomes)
    colours = alt.Scale(domain=names, range=[colour for colour, _ in outcomes.values()])
    shapes = alt.Scale(domain=names, range=[shape for _, shape in outcomes.values()])
    base = alt.Chart().encode(x=x, color=alt.Color("outcome:N", scale=colours, title=None))
    y = alt.Y("low:Q", title="after - before", scale=alt.Scale(padding=8))
    points = base.mark_point(filled=True, size=48, opacity=1).encode(
        y="value:Q", shape=alt.Shape("outcome:N", scale=shapes, title=None), tooltip=tooltips("layer", "outcome")
    )
    return alt.layer(zero_line(), base.mark_rule(strokeWidth=1.6).encode(y=y, y2="high:Q"), points).properties(**PANEL)


def selectivity_figure(findings: Findings) -> Figure | None:
    """What every probe reads beyond shuffled queries."""
    found = selectivity(findings)
    if found.empty:
        return None
    frame = found.rename(columns={"side": "series"}).assign(line=found["side"])
    probes = list(dict.fromkeys(frame["probe"]))
    y = alt.Y("value:Q", title="selectivity")
    panel = alt.layer(zero_line(), curves(layer_axis(findings.layer_names), frame, y)).properties(**PANEL)
    chart = facets(panel, frame, "probe", probes)
    return Figure(
        "selectivity",
        "Selectivity",
        "Accuracy minus the accuracy with shuffled queries, paired by query. Zero: the probe does not use the query.",
        f"Selectivity by layer of the probes {', '.join(probes)}, before and after.",
        choosing_n(chart, _numbers(frame), "Selectivity"),
    )


def probe_curves(findings: Findings) -> pd.DataFrame:
    """Rows of curves: probe, passages, layer, series, line, value, low, high; controls and chance included."""
    found = probe_rows(findings)
    if found.empty:
        return found
    sides = by_side(found, ["probe", "control", "passages", "layer"])
    named = sides["control"].map(lambda c: CONTROL_NAMES.get(str(c), str(c)))
    plain = sides["control"] == PLAIN
    sides["series"] = sides["side"].where(plain, named)
    sides["line"] = sides["side"].where(plain, named + ", " + sides["side"])
    bands = sides.assign(low=sides["low"].where(plain), high=sides["high"].where(plain))
    return pd.concat([bands.drop(columns=["control", "side"]), _chance(found)], ignore_index=True)


def effect_points(findings: Findings) -> pd.DataFrame:
    """Rows of effects without control: probe, passages, layer, value, low, high, outcome."""
    found = probe_rows(findings, control=PLAIN)
    if found.empty or findings.probing is None:
        return pd.DataFrame()
    level = alpha(findings.probing)
    outcome = [outcome_of(row, level) for _, row in found.iterrows()]
    columns = {"effect": "value", "ci_low": "low", "ci_high": "high"}
    kept = found.rename(columns=columns)[["probe", "passages", "layer", "value", "low", "high"]]
    return kept.assign(outcome=outcome)


def outcome_of(row: "pd.Series[Any]", level: float) -> str:
    """What the tests say about one effect, as a name in `OUTCOMES`."""
    if row["p_corrected"] < level:
        return GAIN if row["effect"] > 0 else LOSS
    return EQUAL if is_equivalent(row) else NEITHER


def _chance(found: pd.DataFrame) -> pd.DataFrame:
    places = found[["probe", "passages", "layer"]].drop_duplicates()
    return places.assign(series=CHANCE, line=CHANCE, value=1 / places["passages"], low=float("nan"), high=float("nan"))


def _numbers(frame: pd.DataFrame) -> list[int]:
    return sorted(int(n) for n in frame["passages"].unique())
