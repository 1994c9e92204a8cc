"""Figure of the baselines: retrieval with the frozen vectors of every layer."""

import altair as alt

from retroscope.analyses.baselines.result import BM25, RANDOM, BaselineResult
from retroscope.typesetting.charts.curves import Selector, choosing, curves, facets, layer_axis
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.subject import Subject


def baseline_figure(result: BaselineResult, subject: Subject) -> Figure:
    """Draw the headline retrieval measure by layer, with vectors that are raw, whitened or mapped by a linear head."""
    measure = subject.measures[0]
    mine = result.variants[(result.variants["measure"] == measure) & (result.variants["model"] != BM25)]
    own = mine.groupby("model", sort=False)["pooling"].transform("first")  # the recipe's is listed first
    series = mine["model"].where(mine["pooling"] == own, mine["model"] + ", " + mine["pooling"])
    shown = mine.assign(series=series, line=series, value=mine["mean"], low=mine["ci_low"], high=mine["ci_high"])
    shown = shown[["vectors", "layer", "series", "line", "value", "low", "high"]]
    y = alt.Y("value:Q", title=measure, scale=alt.Scale(zero=True))
    kinds = list(dict.fromkeys(shown["vectors"]))
    panel = curves(layer_axis(subject.layer_names), shown, y)
    return Figure(
        "baselines",
        "What was already there",
        f"{measure} of a search with the frozen vectors of one layer: raw, whitened by the passages' mean and "
        "covariance, or mapped by a linear head. Before is the backbone, with the retriever's pooling and with other "
        f"poolings. {RANDOM.capitalize()} is a copy of the backbone with random weights. Bands are confidence "
        "intervals over queries.",
        f"{measure} by layer, for the models {', '.join(dict.fromkeys(shown['series']))} and the vectors "
        f"{', '.join(kinds)}",
        choosing(panel, shown, [Selector("vectors", "vectors", kinds[-1])]),
        facets(panel, shown, "vectors", kinds).properties(title="Baselines, layer by layer"),
    )
