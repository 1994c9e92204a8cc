"""Choices: one figure with selectors, where several would differ in one label only."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from retroscope.typesetting.curves import embedded
from retroscope.typesetting.palette import CONTROL_SERIES

AUTOSIZE = {
    "type": "fit-x",
    "contains": "padding",
    "resize": True,
}  # labels keep their place when a choice changes them
SIZE = {"width": "container", "height": 280, "autosize": AUTOSIZE}


@dataclass(frozen=True)
class Choice:
    """A selector of a figure.

    Attributes:
        column: of the rows, that it filters by.
        label: what the reader sees before it.
        default: the label that is shown first.
        names: label in the column -> what the reader sees, where that differs.
    """

    column: str
    label: str
    default: Any
    names: tuple[tuple[Any, str], ...] = ()


def choosing(panel: Any, frame: pd.DataFrame, choices: Sequence[Choice], *, size: bool = True) -> Any:
    """Return a panel that shows the rows of one choice at a time; choices that the rows do not offer are left out.

    Args:
        panel: without data.
        frame: its rows, of all choices.
        choices: of columns of the rows.
        size: let the panel take the width of its place.
    """
    chart = panel.properties(data=embedded(frame), **(SIZE if size else {}))
    for choice in choices:
        options = list(dict.fromkeys(frame[choice.column].tolist()))
        if len(options) > 1:
            chart = with_choice(chart, choice, options)
    series = set(frame["series"]) if "series" in frame else set()
    return _with_switch(chart) if series & set(CONTROL_SERIES) and series - set(CONTROL_SERIES) else chart


def with_choice(chart: Any, choice: Choice, options: Sequence[Any]) -> Any:
    """Return a chart of one panel with a selector of one of the options."""
    known = dict(choice.names)
    bind = alt.binding_select(
        options=list(options), labels=[known.get(one, str(one)) for one in options], name=f"{choice.label} "
    )
    default = choice.default if choice.default in options else options[0]
    parameter = alt.param(name=f"chosen_{choice.column}", value=default, bind=bind)
    return chart.add_params(parameter).transform_filter(f"datum[{json.dumps(choice.column)}] === {parameter.name}")


def _with_switch(chart: Any) -> Any:
    """Return a chart whose controls can be switched off."""
    shown = alt.param(name="with_controls", value=True, bind=alt.binding_checkbox(name="controls "))
    series = json.dumps(list(CONTROL_SERIES))
    return chart.add_params(shown).transform_filter(f"with_controls || indexof({series}, datum.series) < 0")
