"""The figure beside the answer: a panel for each analysis with a curve by layer, before and after fine-tuning."""

from collections.abc import Mapping

import altair as alt
import pandas as pd

from retroscope.analyses.card import LayerCurves
from retroscope.analyses.section import Section
from retroscope.number_format import exact_percent
from retroscope.typesetting.charts.curves import curves, facets, layer_axis
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.charts.palette import CHANCE
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

PANEL = {"width": 400, "height": 150}
NAME = "answer"


def picture(sections: Mapping[str, Section], subject: Subject) -> Figure | None:
    """Draw the curves by layer of all sections, one panel below the other, or return None if there are none."""
    drawn = [section.curves for section in sections.values() if section.curves is not None]
    if not drawn:
        return None
    frame = pd.concat([_points(panel_curves) for panel_curves in drawn], ignore_index=True)
    y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=True))
    panel = curves(layer_axis(subject.layer_names), frame, y).properties(**PANEL)
    chart = facets(panel, frame, "panel", [panel_curves.title for panel_curves in drawn], columns=1)
    words = " ".join(f"{panel_curves.title}: {_ends(panel_curves, subject)}" for panel_curves in drawn)
    return Figure(NAME, "Before and after, by layer", _key(subject), words, chart)


def _key(subject: Subject) -> str:
    """Return the sentences below the figure that explain values, layers and interval bands."""
    layers = "Layer 0: the embeddings; layer k: the output of block k."
    bands = f"Bands: {exact_percent(subject.statistics.level)} confidence intervals over queries."
    return f"Search and probe use the pooled vectors of each layer. {layers} {bands}"


def _points(one: LayerCurves) -> pd.DataFrame:
    """Return the data of one panel: a row for each series and layer, including the chance level as a series."""
    frame = one.frame.rename(columns={"side": "series"})
    layers = sorted(set(frame["layer"])) if one.chance is not None else []
    chance = pd.DataFrame({"layer": layers, "series": CHANCE, "value": one.chance})
    frame = pd.concat([frame, chance], ignore_index=True) if layers else frame
    return frame.assign(line=frame["series"], panel=one.title)


def _ends(one: LayerCurves, subject: Subject) -> str:
    """Return a sentence with the values at the last layer, before and after fine-tuning."""
    last = one.frame[one.frame["layer"] == one.frame["layer"].max()].set_index("side")["value"]
    layer = subject.layer_label(int(one.frame["layer"].max()))
    return f"{last[BEFORE]:.3f} before and {last[AFTER]:.3f} after at layer {layer}."
