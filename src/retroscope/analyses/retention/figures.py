"""Figure of the share of facts that can be read from each layer."""

import altair as alt

from retroscope.analyses.retention.result import P1, RetentionResult
from retroscope.analyses.retention.tables import READ_OUTS
from retroscope.typesetting.charts.curves import Selector, choosing, curves, facets, layer_axis
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.frames import by_side, rows
from retroscope.typesetting.subject import Subject


def fact_figures(result: RetentionResult, subject: Subject) -> tuple[Figure, ...]:
    """Draw which share of facts can be read from each layer (P@1), before and after fine-tuning, by read-out."""
    frame = by_side(rows(result.effect, measure=P1), ["layer", "readout"]).rename(columns={"side": "series"})
    frame["line"] = frame["series"]
    frame["readout"] = [READ_OUTS[name] for name in frame["readout"]]
    names = list(dict.fromkeys(frame["readout"]))
    y = alt.Y("value:Q", title=f"{P1} among the objects of the relation", scale=alt.Scale(zero=True))
    panel = curves(layer_axis(subject.layer_names), frame, y)
    chart = choosing(panel, frame, [Selector("readout", "read with", names[0])])
    paper = facets(panel, frame, "readout", names).properties(title="Facts by layer")
    words = f"Share of facts whose answer is ranked first, by layer, before and after, read with {' and '.join(names)}."
    caption = (
        "The answer of each fact is ranked among the objects of its relation. Backbone's head: the backbone's own "
        "language-model head, applied to the states of both models. Refitted read-out: a linear map fitted to each "
        "layer of each model. Bands are confidence intervals."
    )
    return (Figure("facts_by_layer", "Facts by layer", caption, words, chart, paper),)
