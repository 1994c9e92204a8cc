"""Figures of an overview: effects against a selectable baseline, and curves of all studies together."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from retroscope.analyses.card import LayerCurves
from retroscope.number_format import p_number
from retroscope.study.overview.comparable import MEASURE, OWN, Comparable
from retroscope.study.overview.members import SIDES, Identity, NamedStudy, identity
from retroscope.typesetting.charts.curves import PANEL, Selector, choosing, curves, facets, layer_axis
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.charts.outcomes import EQUAL, GAIN, LOSS, NEITHER, OUTCOMES
from retroscope.typesetting.charts.palette import CHANCE
from retroscope.typesetting.statements import State

TOO_FEW = "too few queries"
SHOWN = {**OUTCOMES, TOO_FEW: ("#8a8a8a", "triangle-up")}
ROW = 34  # pixels of one retriever
LABEL = 220  # pixels of its name


def effects_figure(one: Comparable, name: str) -> Figure:
    """Draw the effect of every retriever with its interval. The reader selects measure and baseline."""
    frame = one.effects.assign(outcome=[_outcome(row) for _, row in one.effects.iterrows()])
    frame = frame.assign(p=[p_number(p) for p in frame["p_corrected"]]).drop(columns=["state", "p_corrected"])
    models = [member.name for member in one.members]
    panel = _effects(models).properties(height=ROW * max(len(models), 2), width=PANEL["width"])
    offered = [Selector("baseline", "against", OWN), Selector(MEASURE, "measure", one.headline)]
    chart = choosing(panel, frame, offered).properties(height=ROW * max(len(models), 2))
    own = frame[frame["baseline"] == OWN]
    words = f"Effects on {one.heading} against its own backbone: " + "; ".join(
        f"{row['model']} {row[MEASURE]} {row['effect']:+.3f}, {row['outcome']}" for _, row in own.iterrows()
    )
    caption = (
        f"Change on {one.collection}, after minus before, over the same queries; bars are confidence intervals over "
        "queries. The effect against its own backbone is tested as in each study. For the effect against another "
        "retriever, p is corrected over all pairs of retrievers."
    )
    paper = facets(panel, own, MEASURE, one.measures).properties(title=f"Effects on {one.heading}")
    return Figure(name, f"Effects on {one.heading}", caption, words, chart, paper)


def _outcome(row: "pd.Series[Any]") -> str:
    """Return the state of an effect in words, with its direction if it is significant."""
    if row["state"] == str(State.SIGNIFICANT):
        return GAIN if row["effect"] > 0 else LOSS
    return {str(State.EQUIVALENT): EQUAL, str(State.TOO_FEW): TOO_FEW}.get(row["state"], NEITHER)


def _effects(models: Sequence[str]) -> Any:
    """Draw the effect of each retriever as a point with its interval, one row for each, and a vertical line at 0."""
    names = list(SHOWN)
    colours = alt.Scale(domain=names, range=[colour for colour, _ in SHOWN.values()])
    shapes = alt.Scale(domain=names, range=[shape for _, shape in SHOWN.values()])
    y = alt.Y("model:N", sort=list(models), title=None, axis=alt.Axis(labelLimit=LABEL))
    base = alt.Chart().encode(y=y, color=alt.Color("outcome:N", scale=colours, title=None))
    x = alt.X("ci_low:Q", title="after - before", scale=alt.Scale(padding=8))
    numbers = [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("effect", "ci_low", "ci_high")]
    words = [alt.Tooltip(f"{name}:N") for name in ("model", "baseline", "outcome")]
    tips = [*words, *numbers, alt.Tooltip("p:N", title="corrected p"), alt.Tooltip("n:Q")]
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        x="effect:Q", shape=alt.Shape("outcome:N", scale=shapes, title=None), tooltip=tips
    )
    zero = alt.Chart().mark_rule(color="#9a9a9a").encode(x=alt.datum(0))
    return alt.layer(zero, base.mark_rule(strokeWidth=2).encode(x=x, x2="ci_high:Q"), points)


def curves_figure(one: Comparable, labels: Mapping[Identity, str], name: str) -> Figure | None:
    """Draw the curves by layer of all models together, one panel per quantity, or return None without curves.

    Curves that were measured with settings other than those of the first study have their own panel. Studies with
    another first collection are left out.
    """
    here = [study for study in one.members if study.study.subject.collection.name == one.collection]
    parts = [part for study in here for part in _curves(study, here[0], labels)]
    if not parts:
        return None
    frame = pd.concat(parts, ignore_index=True).drop_duplicates(["panel", "series", "layer"])
    panels = list(dict.fromkeys(frame["panel"]))
    names = here[0].study.subject.layer_names
    alike = all(study.study.subject.layer_names == names for study in here)
    y = alt.Y("value:Q", title="value", scale=alt.Scale(zero=True))
    panel = curves(layer_axis(names if alike else ()), frame, y)
    chart = choosing(panel, frame, [Selector("panel", "curve", panels[0])])
    caption = (
        f"On {one.heading}. Bands are confidence intervals over queries; a backbone that several studies share is "
        "drawn once."
    )
    ends = frame[frame["layer"] == frame.groupby(["panel", "series"])["layer"].transform("max")]
    words = "; ".join(f"{row['panel']}, {row['series']}: {row['value']:.3f} at the last layer"
                      for _, row in ends[ends["series"] != CHANCE].iterrows())  # fmt: skip
    paper = facets(panel, frame, "panel", panels).properties(title=f"Layer by layer on {one.heading}")
    return Figure(name, f"Layer by layer on {one.heading}", caption, words, chart, paper)


def _curves(one: NamedStudy, first: NamedStudy, labels: Mapping[Identity, str]) -> list[pd.DataFrame]:
    """Return a table for each curve of a study: panel, series, line, layer, value, low, high."""
    sections = one.study.report_contents.sections
    drawn = {name: section.curves for name, section in sections.items() if section.curves is not None}
    series = {side: labels[identity(one.model(side))] for side in SIDES}
    return [
        _points(layer_curves, _panel(layer_curves, name, one, first), series) for name, layer_curves in drawn.items()
    ]


def _panel(layer_curves: LayerCurves, name: str, one: NamedStudy, first: NamedStudy) -> str:
    """Return the heading of a panel; it names the study if its settings differ from those of the first study."""
    shared = (name, "negatives", "extraction", "protocol")
    mine, theirs = ([member.study.settings.get(key) for key in shared] for member in (one, first))
    return layer_curves.title if mine == theirs else f"{layer_curves.title} ({one.name}: other settings)"


def _points(layer_curves: LayerCurves, panel: str, series: Mapping[str, str]) -> pd.DataFrame:
    frame = layer_curves.frame.assign(series=layer_curves.frame["side"].map(series)).drop(columns="side")
    if layer_curves.chance is not None:
        layers = sorted(set(frame["layer"]))
        chance = pd.DataFrame({"layer": layers, "series": CHANCE, "value": layer_curves.chance})
        frame = pd.concat([frame, chance], ignore_index=True)
    return frame.assign(line=frame["series"], panel=panel)
