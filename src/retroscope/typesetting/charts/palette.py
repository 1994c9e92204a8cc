"""Colours, dashes and shapes of series, with the same meaning in all figures and on the page.

Blue and vermilion of Okabe and Ito's palette stay apart under every common colour blindness. Dash and shape keep the
series apart in grey print. Controls are grey.
"""

from dataclasses import dataclass
from typing import Any

import altair as alt

from retroscope.typesetting.subject import AFTER, BEFORE, MODEL


@dataclass(frozen=True)
class Look:
    """The style of one series: colour, dash pattern, point shape."""

    colour: str
    dash: tuple[int, ...]
    shape: str


CHANCE = "chance"
HALVES = "split-half reference"
LOOKS = {
    BEFORE: Look("#0072B2", (6, 3), "circle"),
    AFTER: Look("#D55E00", (1, 0), "square"),
    "shuffled queries": Look("#7a7a7a", (4, 2), "cross"),
    "hash labels": Look("#7a7a7a", (1, 2), "diamond"),
    "random weights": Look("#7a7a7a", (8, 2, 2, 2), "triangle-up"),
    HALVES: Look("#7a7a7a", (4, 2), "diamond"),
    CHANCE: Look("#9a9a9a", (2, 4), "stroke"),
}
CONTROL_SERIES = tuple(name for name in LOOKS if name not in (BEFORE, AFTER))
BETWEEN = "between the two"
NEURON_LOOKS = {  # a retriever that is not compared, and what two that are have in common
    MODEL: Look("#009E73", (1, 0), "circle"),
    BETWEEN: Look("#B04A9E", (1, 0), "diamond"),
}
# Lines that have no look of their own take these in order, and begin again after the last with another dash.
OTHER_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
OTHER_DASHES = ((1, 0), (6, 3), (2, 3))
OTHER_SHAPES = ("circle", "square", "diamond", "triangle-up", "cross")
CONTROL_NAMES = {
    "shuffled_queries": "shuffled queries",
    "hash_labels": "hash labels",
    "random_weights": "random weights",
}
FONT = "Helvetica, Arial, Liberation Sans, sans-serif"


# Font, thin grid, legend on top. A figure has one text for those who cannot see it, so its marks have none.
STYLE: dict[str, Any] = {
    "aria": False,
    "background": "transparent",
    "font": FONT,
    "axis": {"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "gridOpacity": 0.5, "tickSize": 4},
    "legend": {"orient": "top", "title": None, "labelFontSize": 11, "symbolStrokeWidth": 2, "symbolSize": 70,
               "columns": 6},
    "header": {"labelFontSize": 12, "labelFontWeight": "bold", "title": None},
    "title": {"anchor": "start", "fontSize": 13, "subtitleFontSize": 11, "offset": 10},
    "view": {"continuousWidth": 300, "continuousHeight": 300, "stroke": "#bbbbbb", "strokeOpacity": 0.6},
}  # fmt: skip


def series_channels(names: list[str]) -> dict[str, Any]:
    """Return the altair encodings that show the column `series` by colour, dash and shape, with one legend."""
    known = LOOKS | NEURON_LOOKS
    used = sum(look.colour in OTHER_COLOURS for name, look in LOOKS.items() if name in names)
    known |= {name: _other(used + i) for i, name in enumerate(name for name in names if name not in known)}
    shown = [name for name in known if name in names]
    looks = [known[name] for name in shown]
    opaque = alt.Legend(symbolOpacity=1, symbolDash=[1, 0])

    def scale(values: list[Any]) -> Any:
        return alt.Scale(domain=shown, range=values)

    # legends of one domain are merged, hidden ones too; symbols with dashed outlines look broken
    dashes = alt.Scale(domain=[*shown, ""], range=[*(list(look.dash) for look in looks), [1, 0]])

    return {
        "color": alt.Color("series:N", scale=scale([look.colour for look in looks]), title=None, legend=opaque),
        "strokeDash": alt.StrokeDash("series:N", scale=dashes, legend=None),
        "shape": alt.Shape("series:N", scale=scale([look.shape for look in looks]), title=None, legend=opaque),
    }


def _other(number: int) -> Look:
    dash = OTHER_DASHES[number // len(OTHER_COLOURS) % len(OTHER_DASHES)]
    return Look(OTHER_COLOURS[number % len(OTHER_COLOURS)], dash, OTHER_SHAPES[number % len(OTHER_SHAPES)])
