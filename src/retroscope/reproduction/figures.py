"""Draw the charts of a reproduction: published accuracies and ours, their differences, corrected ones, neurons."""

from collections.abc import Iterator, Sequence

import altair as alt
import pandas as pd

from retroscope.reproduction.document import Results
from retroscope.reproduction.published import NEURONS, PublishedFigure, PublishedStudy
from retroscope.reproduction.trials import CORRECTED, PUBLISHED
from retroscope.typesetting.charts.curves import PANEL, curves, facets, layer_axis, zero_line
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.charts.palette import OTHER_COLOURS

THEIRS, OURS = "published", "ours"
POOLING_WORDS = {"cls": "CLS", "mean": "mean", "eos": "EOS"}
SMOKE_CAPTION = "Our models are tiny and random (smoke weights): the curves only show that the reproduction runs. "


def page_figures(study: PublishedStudy, results: Results, chosen: Sequence[PublishedFigure]) -> list[Figure]:
    """Draw all charts of the page, in the order of the published figures."""
    return [chart for figure in chosen for chart in figures_of_one(study, results, figure)]


def figures_of_one(study: PublishedStudy, results: Results, figure: PublishedFigure) -> list[Figure]:
    """Draw the charts for one published figure: curves, differences and corrected curves of each pooling, or neurons.

    A chart without data is left out.
    """
    if figure.kind == NEURONS:
        by_protocol = [_neurons(study, results, figure, protocol) for protocol in (PUBLISHED, CORRECTED)]
        return [chart for chart in by_protocol if chart is not None]
    charts: list[Figure | None] = []
    for pooling in dict.fromkeys(study.models[name].pooling for name in figure.models):
        models = [name for name in figure.models if study.models[name].pooling == pooling]
        charts += [_overlay(study, results, figure, models), _residuals(study, results, figure, models),
                  _corrected(study, results, figure, models)]  # fmt: skip
    return [chart for chart in charts if chart is not None]


def _points(results: Results, figure: PublishedFigure, models: Sequence[str]) -> pd.DataFrame:
    rows = [point for point in results["points"] if point["figure"] == figure.number and point["model"] in models]
    return pd.DataFrame(rows)


def _overlay(study: PublishedStudy, results: Results, figure: PublishedFigure, models: Sequence[str]) -> Figure:
    """Draw the published accuracies (dashed, open circles) and ours (solid, full circles) by layer, for each N."""
    points = _points(results, figure, models).assign(
        model=lambda rows: rows["model"].map(lambda name: study.models[name].label),
        passages=lambda rows: [f"N = {n}" for n in rows["passages"]],
    )
    columns = ["model", "passages", "layer", "value", "numbers"]
    published = points.assign(value=points["accuracy"], numbers=THEIRS)[columns]
    own = points.assign(value=points["ours"].astype(float), numbers=OURS)[columns].dropna(subset=["value"])
    frame = pd.concat([published, own], ignore_index=True)
    base = alt.Chart().encode(
        x=layer_axis(),
        y=alt.Y("value:Q", title="accuracy", scale=alt.Scale(zero=False)),
        color=alt.Color("model:N", title=None, sort=None, scale=alt.Scale(range=list(OTHER_COLOURS))),
        detail="numbers:N",
    )
    dashes = alt.StrokeDash(
        "numbers:N", title=None, scale=alt.Scale(domain=[THEIRS, OURS], range=[[4, 3], [1, 0]]),
        legend=alt.Legend(symbolType="stroke", symbolSize=150, symbolFillColor="transparent"),
    )  # fmt: skip
    own_marks = base.transform_filter(f"datum.numbers === '{OURS}'").mark_point(filled=True, size=25, opacity=1)
    their_marks = base.transform_filter(f"datum.numbers === '{THEIRS}'").mark_point(size=25, opacity=1, fill="white")
    tips = ["model:N", "numbers:N", "layer:O", alt.Tooltip("value:Q", format=".4f")]
    marks = [mark.encode(tooltip=tips) for mark in (their_marks, own_marks)]
    panel = alt.layer(base.mark_line(strokeWidth=1.6).encode(strokeDash=dashes), *marks).properties(**PANEL)
    pooling = POOLING_WORDS[study.models[models[0]].pooling]
    title = f"Figure {figure.number}, {pooling}: published and ours"
    return Figure(
        _name(figure, study, models, "overlay"), title,
        f"{_smoke(results)}Accuracy of the published probe by layer, for N candidates; chance is 1/N. Published: "
        "dashed, open circles; ours: solid, full circles.",
        f"{title}. Models: {', '.join(dict.fromkeys(frame['model']))}.",
        facets(panel, frame, "passages", list(dict.fromkeys(frame["passages"])), columns=2),
    )  # fmt: skip


def _residuals(
    study: PublishedStudy, results: Results, figure: PublishedFigure, models: Sequence[str]
) -> Figure | None:
    """Draw our accuracy minus the published one by layer, with the tolerance as a band; None without data."""
    points = _points(results, figure, models)
    frame = points.assign(
        series=points["model"].map(lambda name: study.models[name].label),
        value=points["ours"] - points["accuracy"],
        low=-points["tolerance"].astype(float),
        high=points["tolerance"].astype(float),
    )
    pooling = POOLING_WORDS[study.models[models[0]].pooling]
    return _by_passages(
        frame.dropna(subset=["value"]), _name(figure, study, models, "residuals"),
        f"Figure {figure.number}, {pooling}: ours minus published",
        f"{_smoke(results)}The band is the tolerance of each point, which is derived below.",
        "difference in accuracy", zero=True,
    )  # fmt: skip


def _corrected(
    study: PublishedStudy, results: Results, figure: PublishedFigure, models: Sequence[str]
) -> Figure | None:
    """Draw the accuracies of similarity probe and `passage_only` under the corrected protocol; None without data."""
    rows = [row for row in results["corrected"] if row["figure"] == figure.number and row["model"] in models]
    frame = pd.DataFrame(rows, columns=["figure", "model", "probe", "control", "passages", "layer", "accuracy", "low",
                                        "high"])  # fmt: skip
    series = frame["model"].map(lambda name: study.models[name].label) + ", " + frame["probe"]
    pooling = POOLING_WORDS[study.models[models[0]].pooling]
    return _by_passages(
        frame.assign(series=series, value=frame["accuracy"]), _name(figure, study, models, "corrected"),
        f"Figure {figure.number}, {pooling}, under the default protocol",
        f"{_smoke(results)}dot: the retriever's own similarity at every layer. passage_only: a probe that never "
        "reads the query, trained to convergence. Bands are intervals over queries.",
        "accuracy",
    )  # fmt: skip


def _name(figure: PublishedFigure, study: PublishedStudy, models: Sequence[str], what: str) -> str:
    return f"figure-{figure.number}-{study.models[models[0]].pooling}-{what}"


def _smoke(results: Results) -> str:
    return SMOKE_CAPTION if results["made_up"] else ""


def _by_passages(
    frame: pd.DataFrame, name: str, title: str, caption: str, quantity: str, *, zero: bool = False
) -> Figure | None:
    """Draw curves over the layers, with one panel for each N; None if the frame has no rows."""
    if frame.empty:
        return None
    shown = frame.reindex(columns=["passages", "layer", "series", "value", "low", "high"]).assign(line=frame["series"])
    shown = shown.assign(passages=[f"N = {n}" for n in shown["passages"]])
    y = alt.Y("value:Q", title=quantity, scale=alt.Scale(zero=False))
    panel = curves(layer_axis(), shown, y)
    panel = alt.layer(zero_line(), panel) if zero else panel
    chart = facets(panel, shown, "passages", list(dict.fromkeys(shown["passages"])), columns=2)
    alt_text = f"{title}. Lines: {', '.join(dict.fromkeys(shown['series']))}."
    return Figure(name, title, caption, alt_text, chart)


def _neurons(study: PublishedStudy, results: Results, figure: PublishedFigure, protocol: str) -> Figure | None:
    """Draw, for each model, the share of a layer's neurons that at least one example activates; None without data."""
    rows = [row for row in results["neurons"] if (row["figure"], row["protocol"]) == (figure.number, protocol)]
    if not rows:
        return None
    frame = pd.DataFrame(rows, columns=["model", "part", "layer", "active", "neurons"])
    frame = frame.assign(
        series=frame["model"].map(lambda name: study.models[name].label),
        value=frame["active"].astype(float) / frame["neurons"].astype(float), low=None, high=None,
    )  # fmt: skip
    shown = frame.reindex(columns=["part", "layer", "series", "value", "low", "high"]).assign(line=frame["series"])
    panel = curves(layer_axis(), shown, alt.Y("value:Q", title="share of active neurons"))
    chart = facets(panel, shown, "part", list(dict.fromkeys(shown["part"])), columns=2)
    target = (
        "target: embedding norm; published protocol" if protocol == PUBLISHED else "target: margin; corrected protocol"
    )
    title = f"Figure {figure.number}: active neurons ({target})"
    caption = (
        f"{_smoke(results)}Share of the neurons of a layer that at least one example activates. The paper prints its "
        "counts only as images, so the figure has no published numbers."
    )
    return Figure(f"figure-{figure.number}-neurons-{protocol}", title, caption, f"{title}, by layer and matrix.", chart)


def figure_names(study: PublishedStudy, figure: PublishedFigure) -> Iterator[str]:
    """Yield the names of the charts that the page shows for one published figure, in their order."""
    if figure.kind == NEURONS:
        yield from (f"figure-{figure.number}-neurons-{protocol}" for protocol in (PUBLISHED, CORRECTED))
        return
    for pooling in dict.fromkeys(study.models[name].pooling for name in figure.models):
        yield from (f"figure-{figure.number}-{pooling}-{chart}" for chart in ("overlay", "residuals", "corrected"))
