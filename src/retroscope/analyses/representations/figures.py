"""Figures of representation drift: similarity with controls, layer against layer, geometry by layer."""

from typing import Any

import altair as alt
import pandas as pd

from retroscope.analyses.representations.map_figure import text_map_figure
from retroscope.analyses.representations.result import CollectionDrift
from retroscope.drift.result import RepresentationDrift
from retroscope.number_format import score
from retroscope.typesetting.charts.curves import Selector, choosing, curves, embedded, facets, layer_axis
from retroscope.typesetting.charts.figure import Figure, without_final_norm
from retroscope.typesetting.charts.palette import BETWEEN, CHANCE, HALVES
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

PANELS = {"cka": "CKA", "procrustes": "Procrustes", "rsa": "RSA", "neighbours": "common neighbours"}
STATISTICS = {
    "anisotropy": "mean cosine of two texts",
    "uniformity": "uniformity",
    "effective_rank": "effective dimensions",
    "alignment": "alignment of judged pairs",
}
TOWERS = {"query": "queries", "passage": "passages", "both": "queries with passages"}
RANDOM_WEIGHTS = "random weights"
OTHER_TRAINING = "another seed (ceiling)"
CELL = 13  # of the map of layers, in pixels
MAP_SIDE = (120, 400)


def representation_figures(drifted: CollectionDrift, subject: Subject) -> tuple[Figure, ...]:
    """Draw the figures of how both models' vectors differ: similarity by layer, map of layers, geometry, map of texts.

    If the models have a final norm, similarity and geometry are also drawn without this norm.
    """
    figures = [_similarity(drifted.drift, subject), _layer_map(drifted.drift), _geometry(drifted.drift, subject)]
    if drifted.text_map is not None:
        figures.append(text_map_figure(drifted.text_map))
    if drifted.bare is not None:
        figures += [without_final_norm(draw(drifted.bare, subject)) for draw in (_similarity, _geometry)]
    return tuple(figures)


def _similarity(drift: RepresentationDrift, subject: Subject) -> Figure:
    charts, parts = [], []
    for name, title in PANELS.items():
        similarities = drift.similarity[drift.similarity["statistic"] == name]
        series = [similarities.assign(series=BETWEEN)]
        for column, label in (
            ("halves", HALVES),
            ("other_training", OTHER_TRAINING),
            ("random_weights", RANDOM_WEIGHTS),
            ("chance", CHANCE),
        ):
            line = similarities.dropna(subset=[column])
            series.append(line.assign(series=label, value=line[column], low=line[column], high=line[column]))
        frame = pd.concat(series, ignore_index=True).assign(line=lambda f: f["series"])
        shown = frame[["tower", "layer", "series", "line", "value", "low", "high"]]
        y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=True))
        panel = curves(layer_axis(subject.layer_names), shown, y)
        charts.append(facets(panel, shown, "tower", list(dict.fromkeys(shown["tower"]))))
        parts.append(shown.assign(statistic=title))
    least = drift.similarity[drift.similarity["statistic"] == "cka"]
    least = least.loc[least["value"].idxmin()]
    return Figure(
        "similarity",
        "Do both models arrange texts alike?",
        "CKA (unbiased), Procrustes similarity, RSA and common nearest neighbours between each layer before and the "
        "same layer after fine-tuning; bands are confidence intervals over texts. CKA depends mostly on the directions "
        "of largest variance; Procrustes also depends on smaller ones. The chance level of Procrustes is its value for "
        "texts paired at random. Split-half reference: the statistic between two random halves of one model's vector "
        "dimensions (mean of both models); it is not an upper bound. Ceiling: the retriever compared with another "
        "training run of the same recipe, if one was given. Lower references: the backbone compared with a copy that "
        "has random weights, and chance.",
        f"Similarity by layer; the lowest CKA is {score(least['value'])}, at layer {least['layer']} of "
        f"{least['tower']} vectors",
        _one_at_a_time(pd.concat(parts, ignore_index=True), subject),
        alt.vconcat(*charts, title="Before and after, layer by layer"),
    )


def _layer_map(drift: RepresentationDrift) -> Figure:
    size = int(drift.layer_map["layer_before"].max()) + 1
    side = min(max(CELL * size, MAP_SIDE[0]), MAP_SIDE[1])
    panel = (
        alt.Chart()
        .mark_rect()
        .encode(
            x=alt.X("layer_before:O", title="layer before", axis=alt.Axis(labelAngle=0, labelOverlap="parity")),
            y=alt.Y("layer_after:O", sort="descending", title="layer after", axis=alt.Axis(labelOverlap="parity")),
            color=alt.Color(
                "cka:Q",
                scale=alt.Scale(scheme="viridis", domain=[0, 1], clamp=True),
                legend=alt.Legend(orient="right", title="CKA", columns=1),
            ),
            tooltip=["layer_before:O", "layer_after:O", alt.Tooltip("cka:Q", format=".3f")],
        )
        .properties(width=side, height=side)
    )
    towers = list(dict.fromkeys(drift.layer_map["tower"]))
    chart = panel.facet(facet=alt.Facet("tower:N", sort=towers, title=None), data=embedded(drift.layer_map), columns=2)
    return Figure(
        "layer_map",
        "Which layers of both models correspond?",
        "CKA of every layer before with every layer after. A bright diagonal means that each layer is most like the "
        "same layer of the other model.",
        "Heat map of CKA of every layer before with every layer after",
        chart,
    )


def _geometry(drift: RepresentationDrift, subject: Subject) -> Figure:
    charts, parts = [], []
    for name, title in STATISTICS.items():
        frame = drift.geometry[drift.geometry["statistic"] == name].rename(columns={"side": "series"})
        if frame.empty:
            continue
        shown = frame.assign(line=frame["series"])[["tower", "layer", "series", "line", "value", "low", "high"]]
        panel = curves(layer_axis(subject.layer_names), shown, alt.Y("value:Q", title=title))
        charts.append(facets(panel, shown, "tower", list(dict.fromkeys(shown["tower"]))))
        parts.append(shown.assign(statistic=title))
    last = drift.geometry[(drift.geometry["statistic"] == "anisotropy") & (drift.geometry["tower"] == "passage")]
    ends = {side: last[last["side"] == side]["value"].iloc[-1] for side in (BEFORE, AFTER)}
    return Figure(
        "geometry",
        "The shape of the embedding space",
        "Mean cosine of two texts: 0 if the directions of the vectors are even, 1 if all vectors point in one "
        "direction. Uniformity: the lower, the more evenly the vectors fill the sphere. Effective dimensions: "
        "exponential of the entropy of the singular values, estimated for the population from which these texts are "
        "sampled. Alignment: mean squared distance of a query and its relevant passage, 0 at best. Bands are "
        "confidence intervals over texts.",
        f"Geometry by layer; mean cosine of passages at the last layer {score(ends[BEFORE])} before, "
        f"{score(ends[AFTER])} after",
        _one_at_a_time(pd.concat(parts, ignore_index=True), subject),
        alt.vconcat(*charts, title="Geometry, layer by layer"),
    )


def _one_at_a_time(frame: pd.DataFrame, subject: Subject) -> Any:
    """Draw the curves of one statistic at a time. The reader selects it, for example "CKA, passages"."""
    panel = curves(layer_axis(subject.layer_names), frame, alt.Y("value:Q", title="value", scale=alt.Scale(zero=False)))
    shown = frame.assign(shown=frame["statistic"] + ", " + frame["tower"].map(lambda t: TOWERS.get(t, t)))
    return choosing(panel, shown, [Selector("shown", "statistic", shown["shown"].iloc[0])])
