"""Figure and tables of the baselines."""

import altair as alt
import pandas as pd

from retroscope.analyses.baselines.result import BM25, RANDOM, BaselineFindings
from retroscope.analyses.baselines.words import share_words
from retroscope.study.findings import Findings
from retroscope.study.paper_tables import NUMERIC, explained, printed_effects
from retroscope.typesetting.curves import curves, facets, layer_axis
from retroscope.typesetting.figure import Figure
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.numbers import interval, score
from retroscope.typesetting.subject import AFTER, BEFORE


def baseline_figures(findings: Findings) -> list[Figure]:
    """Return the figure by layer, where baselines were measured."""
    return [] if findings.baselines is None else [_by_layer(findings, findings.baselines)]


def _by_layer(findings: Findings, found: BaselineFindings) -> Figure:
    """The headline measure of every layer: raw, whitened, with a linear head."""
    measure = findings.primary_measure
    mine = found.variants[(found.variants["measure"] == measure) & (found.variants["model"] != BM25)]
    own = mine.groupby("model", sort=False)["pooling"].transform("first")  # the recipe's is listed first
    series = mine["model"].where(mine["pooling"] == own, mine["model"] + ", " + mine["pooling"])
    shown = mine.assign(series=series, line=series, value=mine["mean"], low=mine["ci_low"], high=mine["ci_high"])
    shown = shown[["vectors", "layer", "series", "line", "value", "low", "high"]]
    y = alt.Y("value:Q", title=measure, scale=alt.Scale(zero=True))
    kinds = list(dict.fromkeys(shown["vectors"]))
    chart = facets(curves(layer_axis(findings.layer_names), shown, y), shown, "vectors", kinds)
    return Figure(
        "baselines",
        "What was already there",
        f"{measure} when the frozen vectors of one layer are searched: raw, whitened by the passages, and with a "
        f"linear head. Before: the backbone, under the retriever's pooling and others. {RANDOM.capitalize()}: a copy "
        "of the backbone that never learned anything. Bands are intervals over queries.",
        f"{measure} by layer of {', '.join(dict.fromkeys(shown['series']))}; {', '.join(kinds)}",
        chart.properties(title="Baselines, layer by layer"),
    )


def baseline_tables(findings: Findings) -> dict[str, PaperTable]:
    """Return what the best leaves to fine-tuning, and the best layer of every variant."""
    found = findings.baselines
    if found is None:
        return {}
    frame = rows(found.left)
    printed = printed_effects(found.left, frame)
    printed.insert(0, "best of the backbone", frame["best"])
    printed.insert(1, "measure", frame["measure"])
    shares = found.shares.set_index(["best", "measure"])
    printed["left"] = [share_words(shares.loc[key]) for key in zip(frame["best"], frame["measure"], strict=True)]
    note = (
        "Before: the best of the backbone, chosen on other queries. Left: the part of after - before, both as "
        f"compared, that it does not reach, with Fieller's interval. {explained(found.left)}"
    )
    caption = "What the best of the backbone leaves to fine-tuning"
    return {
        "baseline_gains": PaperTable(printed, caption, note, (*NUMERIC, "left")),
        "baseline_variants": _layers(findings, found),
    }


def _layers(findings: Findings, found: BaselineFindings) -> PaperTable:
    """Last and best layer of every model, pooling and kind of vectors, by the headline measure."""
    mine = found.variants[found.variants["measure"] == findings.primary_measure]
    printed = []
    for (model, pooling, vectors), group in mine.groupby(["model", "pooling", "vectors"], sort=False):
        last, top = group.loc[group["layer"].idxmax()], group.loc[group["mean"].idxmax()]
        label = "" if model == BM25 else findings.layer_label(int(top["layer"]))
        printed.append((model, pooling, vectors, _value(last), label, _value(top)))
    columns = ["model", "pooling", "vectors", "last layer", "best layer", "at the best layer"]
    note = "The best layer is the largest of many, and so a little too high; the verdict's is chosen on other queries."
    caption = f"{findings.primary_measure} of the frozen vectors ({BEFORE}: backbone, {AFTER}: retriever)"
    return PaperTable(
        pd.DataFrame(printed, columns=columns), caption, note, ("last layer", "best layer", "at the best layer")
    )


def _value(row: "pd.Series[float]") -> str:
    return f"{score(row['mean'])} {interval(row['ci_low'], row['ci_high'])}"
