"""Curves over layers: lines, points and interval bands, in small multiples."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from retroscope.typesetting.charts.palette import CHANCE, CONTROL_SERIES, series_channels

PANEL = {"width": 270, "height": 190}
AUTOSIZE = {
    "type": "fit-x",
    "contains": "padding",
    "resize": True,
}  # labels keep their place when a choice changes them
SIZE = {"width": "container", "height": 280, "autosize": AUTOSIZE}
DIGITS = 4  # of the numbers embedded in a chart; the tables keep them all


def embedded(frame: pd.DataFrame) -> Any:
    """Return the rows, rounded, as data for a chart. In this form, altair does not limit their number.

    The rows stay one JSON text until the figure is written (`figure.with_rows`): altair copies a chart whenever it is
    put into another one, and a text need not be copied.
    """
    return alt.InlineData(values=frame.round(DIGITS).to_json(orient="records"))


def layer_axis(names: Sequence[str] = ()) -> Any:
    """Return an x axis for layers, labelled by `names` or, without them, by number. "6 (post-norm)" takes two lines."""
    label = f"split({json.dumps(list(names))}[datum.value] || toString(datum.value), ' ')"
    axis = alt.Axis(labelExpr=label, labelAngle=0, labelOverlap="parity", grid=False)
    return alt.X("layer:O", title="layer", axis=axis)


def curves(x: Any, frame: pd.DataFrame, y: Any, at: str = "layer") -> Any:
    """Draw one panel: a band (`low` to `high`), a line and points for each series. Controls are thin.

    `frame` has the columns series, value, low, high, `at` (the column of `x`), and `line`, which separates the lines of
    one series.
    """
    channels = series_channels(list(frame["series"].unique()))
    base = alt.Chart().encode(x=x, detail="line:N")
    band = base.mark_area(opacity=0.16).encode(y=alt.Y("low:Q"), y2="high:Q", color=channels["color"])
    tips = tooltips("line", at)

    def lines(width: float, size: int, *, controls: bool) -> list[Any]:
        condition = _is_control(controls=controls)
        line = base.mark_line(strokeWidth=width).encode(y=y, color=channels["color"], strokeDash=channels["strokeDash"])
        points = base.mark_point(filled=True, size=size, opacity=1).encode(
            y=y, color=channels["color"], shape=channels["shape"], tooltip=tips
        )
        without_chance = f"({condition}) && datum.series !== {json.dumps(CHANCE)}"
        return [line.transform_filter(condition), points.transform_filter(without_chance)]

    return alt.layer(*lines(1.1, 20, controls=True), band, *lines(2, 40, controls=False), **PANEL)


def _is_control(*, controls: bool) -> str:
    """Return the Vega expression that selects the rows of controls or, with `controls=False`, all other rows."""
    return f"indexof({json.dumps(list(CONTROL_SERIES))}, datum.series) {'>=' if controls else '<'} 0"


def zero_line() -> Any:
    """Draw a horizontal line at zero, the value of no change."""
    return alt.Chart().mark_rule(color="#9a9a9a").encode(y=alt.datum(0))


def tooltips(*labels: str) -> list[Any]:
    """Return the fields that a tooltip of a point shows: its labels, then value and interval."""
    numbers = [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("value", "low", "high")]
    return [alt.Tooltip(f"{label}:N") for label in labels] + numbers


def facets(panel: Any, frame: pd.DataFrame, by: str, labels: Sequence[Any], columns: int | None = None) -> Any:
    """Repeat a panel for each value of the column `by`, in the order of `labels`."""
    fitting = 2 if len(labels) == 4 else min(3, max(1, len(labels)))
    return panel.facet(
        facet=alt.Facet(f"{by}:N", sort=list(labels), title=None),
        data=embedded(frame),
        columns=columns or fitting,
        resolve=alt.Resolve(axis=alt.AxisResolveMap(x="independent", y="independent")),
    )


@dataclass(frozen=True)
class Selector:
    """A selector (e.g. of a measure) with which the reader of the page chooses what a figure shows.

    Attributes:
        column: column of the rows by which it filters.
        label: text in front of the selector.
        default: the label that is shown first.
        names: label in the column -> label on the page, if it differs.
    """

    column: str
    label: str
    default: Any
    names: tuple[tuple[Any, str], ...] = ()


def choosing(panel: Any, frame: pd.DataFrame, choices: Sequence[Selector], *, size: bool = True) -> Any:
    """Return a chart in which the reader of the page selects the rows that it shows, e.g. those of a measure.

    Args:
        panel: chart without data.
        frame: rows of the panel, for all choices.
        choices: the selectors. One that offers a single label is left out.
        size: let the panel take the full available width.
    """
    offered = [(choice, list(dict.fromkeys(frame[choice.column].tolist()))) for choice in choices]
    controls = [_choice(choice, options) for choice, options in offered if len(options) > 1]
    series = set(frame["series"]) if "series" in frame else set()
    if series & set(CONTROL_SERIES) and series - set(CONTROL_SERIES):
        controls.append(_switch())
    return _controlled(panel, controls, data=embedded(frame), **(SIZE if size else {}))


def _controlled(panel: Any, controls: Sequence[tuple[Any, str]], **properties: Any) -> Any:
    """Return a panel whose rows are filtered by what the reader selects.

    Rows, filters and size are set in one step, because altair copies the chart at each step.
    """
    if controls:
        earlier = [] if isinstance(panel.transform, alt.utils.schemapi.UndefinedType) else panel.transform
        filters = [alt.FilterTransform(filter=condition) for _, condition in controls]
        properties |= {"params": [parameter.param for parameter, _ in controls], "transform": [*earlier, *filters]}
    return panel.properties(**properties)


def _choice(choice: Selector, options: Sequence[Any]) -> tuple[Any, str]:
    """Return a Vega parameter that a selector sets, and the condition by which it filters the rows."""
    known = dict(choice.names)
    bind = alt.binding_select(
        options=list(options), labels=[known.get(option, str(option)) for option in options], name=f"{choice.label} "
    )
    default = choice.default if choice.default in options else options[0]
    parameter = alt.param(name=f"chosen_{choice.column}", value=default, bind=bind)
    return parameter, f"datum[{json.dumps(choice.column)}] === {parameter.name}"


def _switch() -> tuple[Any, str]:
    """Return a Vega parameter that a checkbox sets to hide controls, and the condition by which it filters the rows."""
    shown = alt.param(name="with_controls", value=True, bind=alt.binding_checkbox(name="controls "))
    series = json.dumps(list(CONTROL_SERIES))
    return shown, f"with_controls || indexof({series}, datum.series) < 0"
