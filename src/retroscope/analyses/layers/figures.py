"""Figures of retrieval by layer."""

import altair as alt
import pandas as pd

from retroscope.analyses.layers.result import LayerEffects
from retroscope.analyses.layers.similarities import similarities_figure
from retroscope.statistics import Difference
from retroscope.typesetting.charts.curves import SIZE, Selector, choosing, curves, facets, layer_axis
from retroscope.typesetting.charts.figure import Figure, without_final_norm
from retroscope.typesetting.frames import by_side, rows
from retroscope.typesetting.subject import AFTER, BEFORE, Subject


def layer_figures(effects: LayerEffects, subject: Subject) -> tuple[Figure, ...]:
    """Draw retrieval by layer before and after fine-tuning, and histograms of similarities if they were measured.

    If the models have a final norm, retrieval by layer is also drawn without this norm.
    """
    figures = [_curves(effects.effect, subject), _chosen(effects.effect, subject)]
    if effects.similarities is not None:
        figures.append(similarities_figure(effects.similarities, subject))
    if effects.bare is not None:
        figures.append(without_final_norm(_curves(effects.bare, subject)))
    return tuple(figures)


def _curves(effect: Difference, subject: Subject) -> Figure:
    frame = by_side(rows(effect), ["layer", "measure"]).rename(columns={"side": "series"})
    frame["line"] = frame["series"]
    measures = list(dict.fromkeys(frame["measure"]))
    y = alt.Y("value:Q", title="score", scale=alt.Scale(zero=True))
    panel = curves(layer_axis(subject.layer_names), frame, y)
    words = f"Retrieval with the vectors of each layer, {' and '.join(measures)}, before and after fine-tuning."
    caption = (
        "Each score is from a search with the pooled vectors of one layer. Bands are confidence intervals over queries."
    )
    chart = choosing(panel, frame, [Selector("measure", "measure", subject.measures[0] if subject.measures else None)])
    paper = facets(panel, frame, "measure", measures).properties(title="Retrieval by layer")
    return Figure("layer_retrieval", "Retrieval by layer", caption, words, chart, paper)


def _chosen(effect: Difference, subject: Subject) -> Figure:
    """Draw empty axes, which the page's script fills with curves of the queries that a reader chooses."""
    measures = list(dict.fromkeys(rows(effect)["measure"]))
    measure = next((name for name in subject.measures[:1] if name in measures), measures[0])
    sides = pd.DataFrame({"series": [BEFORE, AFTER]})
    panel = curves(layer_axis(subject.layer_names), sides, alt.Y("value:Q", title=measure, scale=alt.Scale(zero=True)))
    chart = panel.properties(data=alt.InlineData(values=[], name="chosen"), **SIZE)
    words = f"{measure} of the chosen queries by layer, before and after fine-tuning."
    caption = f"{measure} of the queries chosen above, from a search with the vectors of one layer."
    return Figure("chosen_layers", "The chosen queries, layer by layer", caption, words, chart, in_files=False)
