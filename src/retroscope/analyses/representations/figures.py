"""Figures of what moved: weights, similarity by layer with its controls, every layer against every other, geometry."""

import altair as alt
import pandas as pd

from retroscope.analyses.representations.result import MovedFindings
from retroscope.analyses.weights.figures import weight_figures
from retroscope.study.findings import Findings
from retroscope.study.paper_tables import NUMERIC, explained, printed_effects
from retroscope.typesetting.curves import curves, embedded, facets, layer_axis
from retroscope.typesetting.figure import Figure
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.numbers import interval, score
from retroscope.typesetting.palette import BETWEEN, CHANCE, HALVES
from retroscope.typesetting.subject import AFTER, BEFORE

SIMILARITIES = {"cka": "CKA", "procrustes": "Procrustes", "rsa": "RSA", "neighbours": "common neighbours"}
SHAPES = {
    "anisotropy": "mean cosine of two texts",
    "uniformity": "uniformity",
    "effective_rank": "effective dimensions",
    "alignment": "alignment of judged pairs",
}
TWIN = "random weights"
SISTER = "another seed (ceiling)"
CELL = 13  # of the map of layers, in pixels
MAP_SIDE = (120, 400)


def moved_figures(findings: Findings) -> list[Figure]:
    """Every figure of what moved."""
    moved = findings.moved
    if moved is None:
        return []
    apart = len(moved.weights) > 1
    weights = [figure for tower, f in moved.weights.items() for figure in weight_figures(f, tower if apart else "")]
    return [*weights, similarity_figure(findings, moved), _cross(moved), shape_figure(findings, moved)]


def elsewhere_tables(findings: Findings) -> dict[str, PaperTable]:
    """Retrieval on the second collection, and CKA by layer on both."""
    here, there = findings.moved, findings.elsewhere
    if here is None or there is None:
        return {}
    frame = rows(there.retrieval)
    printed = printed_effects(there.retrieval, frame)
    printed.insert(0, "measure", frame["measure"])
    found = {name: _cka(moved) for name, moved in (("here", here), ("there", there.moved))}
    towers = list(dict.fromkeys(here.similarity["tower"]))
    layers = pd.DataFrame({"layer": [findings.layer_label(int(k)) for k in sorted(set(here.similarity["layer"]))]})
    for tower in towers:
        for name, title in (("here", findings.collection.name), ("there", there.collection)):
            of_tower = found[name][found[name]["tower"] == tower].sort_values("layer")
            layers[f"{tower}, {title}"] = [
                f"{score(v)} {interval(a, b)}"
                for v, a, b in zip(of_tower["value"], of_tower["low"], of_tower["high"], strict=True)
            ]
    numbers = tuple(layers.columns[1:])
    return {
        "elsewhere": PaperTable(printed, f"Retrieval on {there.collection}", explained(there.retrieval), NUMERIC),
        "elsewhere_cka": PaperTable(
            layers, "CKA before and after, on both collections", "Intervals are over texts.", numbers
        ),
    }


def _cka(moved: MovedFindings) -> pd.DataFrame:
    return moved.similarity[moved.similarity["statistic"] == "cka"]


def similarity_figure(findings: Findings, moved: MovedFindings) -> Figure:
    """Every similarity by layer with its controls."""
    charts = []
    for name, title in SIMILARITIES.items():
        found = moved.similarity[moved.similarity["statistic"] == name]
        series = [found.assign(series=BETWEEN)]
        for column, label in (("halves", HALVES), ("sister", SISTER), ("twin", TWIN), ("chance", CHANCE)):
            line = found.dropna(subset=[column])
            series.append(line.assign(series=label, value=line[column], low=line[column], high=line[column]))
        frame = pd.concat(series, ignore_index=True).assign(line=lambda f: f["series"])
        shown = frame[["tower", "layer", "series", "line", "value", "low", "high"]]
        y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=True))
        panel = curves(layer_axis(findings.layer_names), shown, y)
        charts.append(facets(panel, shown, "tower", list(dict.fromkeys(shown["tower"]))))
    least = moved.similarity[moved.similarity["statistic"] == "cka"]
    least = least.loc[least["value"].idxmin()]
    return Figure(
        "similarity",
        "Do both arrange texts alike?",
        "CKA (unbiased), Procrustes similarity, RSA and common nearest neighbours between the same layer before and "
        "after; bands are intervals over texts. CKA follows the largest directions, Procrustes also the others; its "
        "chance is that of texts paired at random. Split-half reference: two random halves of one model's own "
        "dimensions (mean of both models), no bound. Ceiling: the retriever and another training of it, where one was "
        "given. Below: the backbone and its random-weight twin, chance.",
        f"Similarity by layer; least CKA {score(least['value'])} at layer {least['layer']} of {least['tower']} vectors",
        alt.vconcat(*charts, title="Before and after, layer by layer"),
    )


def _cross(moved: MovedFindings) -> Figure:
    size = int(moved.cross["layer_before"].max()) + 1
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
    towers = list(dict.fromkeys(moved.cross["tower"]))
    chart = panel.facet(facet=alt.Facet("tower:N", sort=towers, title=None), data=embedded(moved.cross), columns=2)
    return Figure(
        "layer_map",
        "Which layer became which?",
        "CKA of every layer before with every layer after. A bright diagonal: layers kept their places.",
        "Heat map of CKA of every layer before with every layer after",
        chart,
    )


def shape_figure(findings: Findings, moved: MovedFindings) -> Figure:
    """The geometry of both sides by layer."""
    charts = []
    for name, title in SHAPES.items():
        frame = moved.shape[moved.shape["statistic"] == name].rename(columns={"side": "series"})
        if frame.empty:
            continue
        shown = frame.assign(line=frame["series"])[["tower", "layer", "series", "line", "value", "low", "high"]]
        panel = curves(layer_axis(findings.layer_names), shown, alt.Y("value:Q", title=title))
        charts.append(facets(panel, shown, "tower", list(dict.fromkeys(shown["tower"]))))
    last = moved.shape[(moved.shape["statistic"] == "anisotropy") & (moved.shape["tower"] == "passage")]
    ends = {side: last[last["side"] == side]["value"].iloc[-1] for side in (BEFORE, AFTER)}
    return Figure(
        "geometry",
        "The shape of the cloud",
        "Mean cosine: 0 in an even cloud, 1 where all vectors point one way. Uniformity: the lower, the more evenly "
        "the sphere is filled. Effective dimensions: exp of the entropy of the standard deviations, estimated for "
        "the population of which these texts are a sample. Alignment: mean squared distance of a query and its "
        "relevant passage, 0 at best. Bands are intervals over texts.",
        f"Geometry by layer; mean cosine of passages at the last layer {score(ends[BEFORE])} before, "
        f"{score(ends[AFTER])} after",
        alt.vconcat(*charts, title="Geometry, layer by layer"),
    )
