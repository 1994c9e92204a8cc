"""Figure of the ablation curves of neurons."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from retroscope.analyses.neurons.frames import ablation_rows
from retroscope.analyses.neurons.result import BOTTOM, LARGEST, RANDOM, TOP, TowerNeurons
from retroscope.number_format import exact_percent, score
from retroscope.typesetting.charts.curves import Selector, choosing, embedded, tooltips
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.charts.palette import LOOKS, NEURON_LOOKS
from retroscope.typesetting.subject import AFTER, MODEL

INTACT = "intact"
LINES = {TOP: "top", "signed": "top by signed value", "magnitude": "top by magnitude", LARGEST: "largest",
         BOTTOM: "bottom", RANDOM: "random sets", INTACT: "nothing fixed"}  # fmt: skip
DASHES = {BOTTOM: [5, 3], INTACT: [2, 3], LARGEST: [7, 2, 2, 2], "signed": [4, 1], "magnitude": [4, 1]}
GREY, PALE, OTHER = "#6f6f6f", "#9a9a9a", "#B04A9E"
WIDE = {"width": 360, "height": 230}
OWN_LEGENDS = alt.Resolve(scale=alt.ScaleResolveMap(color="independent", strokeDash="independent"))


def ablation_figure(tower: TowerNeurons) -> Figure | None:
    """Draw each retrieval measure as a function of the fraction of fixed neurons, with a panel for each model."""
    sides = tower.ablations
    if not sides:
        return None
    frames = {name: ablation_rows(ablation) for name, ablation in sides.items()}
    measures = list(dict.fromkeys(measure for ablation in sides.values() for measure in ablation.measures))
    panels = [[_ablated(name, frame, measure) for name, frame in frames.items()] for measure in measures]
    grid = panels if len(sides) > 1 else [[panel for (panel,) in panels]]  # the measures of one side stand side by side
    rows = [alt.hconcat(*panel, resolve=OWN_LEGENDS) for panel in grid]
    return Figure(
        "neuron_ablation",
        "Retrieval with fixed neurons",
        "Retrieval when a fraction of the neurons is fixed at one value. Top: neurons with the largest attribution. "
        "Top by signed value, or by magnitude: the top neurons of a ranking by this value. Largest: neurons "
        "whose fixing changes the output of their block most, chosen without gradient or query. Bottom: neurons with "
        "the smallest attribution. Thin lines: random sets of neurons. All sets have as many neurons of each layer and "
        "matrix as the set of top neurons. Bands are confidence intervals over queries; the grey band is the intact "
        "model. The top neurons are confirmed at a fraction if fixing them lowers retrieval significantly more than "
        "fixing random neurons and more than fixing the largest neurons.",
        "; ".join(_words(name, frame, measure) for measure in measures for name, frame in frames.items()) + ".",
        _one_at_a_time(frames),
        alt.vconcat(*rows, resolve=OWN_LEGENDS),
    )


def _one_at_a_time(frames: Mapping[str, pd.DataFrame]) -> Any:
    """Draw one panel, whose model and measure the reader selects. The retriever and its first measure come first."""
    frame = pd.concat([rows.assign(side=name) for name, rows in frames.items()], ignore_index=True)
    frame = frame.assign(series=frame["how"].map(LINES), line=frame["how"] + " " + frame["draw"].astype(str))
    sides, measures = list(frames), list(dict.fromkeys(frame["measure"]))
    panel = _panel(frame, "score", LOOKS[AFTER].colour, alt.Chart())
    return choosing(panel, frame, [Selector("side", "model", sides[-1]), Selector("measure", "measure", measures[0])])


def _ablated(name: str, frame: pd.DataFrame, measure: str) -> Any:
    frame = frame[frame["measure"] == measure]
    frame = frame.assign(series=frame["how"].map(LINES), line=frame["how"] + " " + frame["draw"].astype(str))
    panel = _panel(frame, measure, (LOOKS | NEURON_LOOKS)[name].colour, alt.Chart())
    title = measure if name == MODEL else f"{measure}: {name}"
    return panel.properties(data=embedded(frame), title=title, **WIDE)


def _panel(frame: pd.DataFrame, title: str, colour: str, chart: Any) -> Any:
    """Draw the curves of one model and measure, with the level of the intact model. The data are added later."""
    channels = _channels(colour, [how for how in LINES if (frame["how"] == how).any()])
    axis = _percent(frame[frame["how"] != INTACT])
    x = alt.X("fraction:Q", title="fraction of the neurons", scale=alt.Scale(type="log", nice=False), axis=axis)
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False, padding=6))
    level = chart.transform_filter(alt.datum.how == INTACT)
    base = chart.encode(x=x, detail="line:N").transform_filter(alt.datum.how != INTACT)
    sets = base.transform_filter(alt.datum.how != RANDOM)
    tips = [alt.Tooltip("line:N"), alt.Tooltip("fraction:Q", format=".2%"), *tooltips()]
    top = base.transform_filter(alt.datum.how == TOP).mark_area(opacity=0.14)
    layers = [
        level.mark_rect(opacity=0.12, color=GREY).encode(y="low:Q", y2="high:Q"),
        top.encode(y=alt.Y("low:Q"), y2="high:Q", color=channels["color"]),
        base.transform_filter(alt.datum.how == RANDOM).mark_line(strokeWidth=0.9).encode(y=y, **channels),
        level.mark_rule(strokeWidth=1.4).encode(y="value:Q", **channels),
        sets.mark_line(strokeWidth=2).encode(y=y, **channels),
        sets.mark_point(filled=True, size=36, opacity=1).encode(y=y, color=channels["color"], tooltip=tips),
    ]
    return alt.layer(*layers)


def _channels(colour: str, hows: list[str]) -> dict[str, Any]:
    """Return the encodings of colour and dash, which differ by the kind of fixed neurons (`hows`)."""
    names = [LINES[how] for how in hows]
    colours = [{RANDOM: PALE, INTACT: GREY, LARGEST: OTHER}.get(how, colour) for how in hows]
    dashes = [DASHES.get(how, [1, 0]) for how in hows]
    legend = alt.Legend(symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=2, symbolSize=250)
    return {
        "color": alt.Color("series:N", title=None, legend=legend, scale=alt.Scale(domain=names, range=colours)),
        "strokeDash": alt.StrokeDash(
            "series:N", title=None, legend=legend, scale=alt.Scale(domain=names, range=dashes)
        ),
    }


def _percent(cut: pd.DataFrame) -> Any:
    values = sorted(float(f) for f in cut["fraction"].unique())
    return alt.Axis(values=values, labelExpr="format(datum.value * 100, '~g') + ' %'", grid=False, labelOverlap=True)


def _words(name: str, frame: pd.DataFrame, measure: str) -> str:
    """Describe where each curve ends, as alternative text of the figure."""
    frame = frame[frame["measure"] == measure]
    last = frame[frame["fraction"] == frame["fraction"].max()]
    ends = [f"{how} {score(float(rows['value'].mean()))}" for how, rows in last.groupby("how", sort=False)]
    intact = float(frame.loc[frame["how"] == INTACT, "value"].iloc[0])
    where = measure if name == MODEL else f"{measure}, {name}"
    fixed = exact_percent(last["fraction"].max())
    return f"{where}: intact {score(intact)}; with {fixed} of the neurons fixed {', '.join(ends)}"
