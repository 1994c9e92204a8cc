"""Figure of erasure: accuracy of the probe, and loss of retrieval, by layer."""

import altair as alt
import pandas as pd

from retroscope.analyses.erasure.result import ErasureResult
from retroscope.typesetting.charts.curves import Selector, choosing, curves, facets, layer_axis
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.subject import Subject


def erasure_figure(result: ErasureResult, subject: Subject) -> Figure:
    """Draw by layer the accuracy of the probe, and the loss of retrieval by erasure beyond that by random subspaces."""
    panels = {
        "readable": f"readable: probe accuracy (chance {result.chance:.2g})",
        "used": f"used: loss of {result.measure} beyond random subspaces",
    }
    table = result.table
    readable = table.assign(value=table["readable"], low=table["readable_low"], high=table["readable_high"])
    used = table.assign(value=-table["beyond"], low=-table["ci_high"], high=-table["ci_low"])
    parts = [one.assign(panel=panels[name]) for name, one in (("readable", readable), ("used", used))]
    frame = pd.concat(parts, ignore_index=True).assign(series=lambda one: one["side"], line=lambda one: one["side"])
    frame = frame[["panel", "layer", "rank", "series", "line", "value", "low", "high"]]
    y = alt.Y("value:Q", title="accuracy, or loss", scale=alt.Scale(zero=True))
    panel = curves(layer_axis(subject.layer_names), frame, y)
    selectors = [Selector("panel", "panel", panels["used"]), Selector("rank", "rank", result.rank)]
    largest = frame[frame["rank"] == result.rank]
    return Figure(
        "erasure",
        "Where relevance is readable, and where retrieval uses it",
        "Readable: accuracy of a probe that picks the relevant passage of a query among others. Used: loss of "
        "retrieval when the directions that the probe reads are erased at that layer, minus the loss when random "
        "subspaces of equal rank are erased. Bands are confidence intervals, for the accuracy over queries and for the "
        "loss over queries and random subspaces.",
        f"Probe accuracy and loss of {result.measure} under erasure, by layer",
        choosing(panel, frame, selectors),
        facets(panel, largest, "panel", list(panels.values()), columns=2),
    )
