"""Figures of the probes: accuracy with its controls, effects of fine-tuning with their tests, selectivity."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import altair as alt
import pandas as pd

from retroscope.analyses.probes.result import ProbesResult
from retroscope.analyses.probes.words import WITHOUT
from retroscope.typesetting.charts.curves import PANEL, Selector, choosing, curves, facets, layer_axis, zero_line
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.charts.outcomes import effect_panel, no_change_words, outcome_of
from retroscope.typesetting.charts.palette import CHANCE, CONTROL_NAMES
from retroscope.typesetting.frames import PLAIN, alpha, by_side, correction
from retroscope.typesetting.subject import Subject

ACCURACY = alt.Y("value:Q", title="accuracy", scale=alt.Scale(domain=[0, 1]))


def probe_figures(result: ProbesResult, subject: Subject, beyond_shuffled: pd.DataFrame) -> tuple[Figure, ...]:
    """Draw the figures of the probes for which there are data: accuracy, effects of fine-tuning and selectivity.

    Args:
        beyond_shuffled: rows of `selectivity`: accuracy minus the accuracy with shuffled queries.
    """
    figures = [
        similarity_figure(result, subject),
        family_figure(result, subject),
        effect_figure(result, subject),
        selectivity_figure(beyond_shuffled, subject),
    ]
    if result.bare is not None:
        bare = replace(result, effect=result.bare, bare=None)
        figures += [_bare(make(bare, subject)) for make in (similarity_figure, family_figure)]
    return tuple(figure for figure in figures if figure is not None)


def _bare(figure: Figure | None) -> Figure | None:
    if figure is None:
        return None
    caption = f"Every layer except the last is shown as the model computes it, {WITHOUT}. {figure.caption}"
    return replace(figure, name=f"{figure.name}_bare", title=f"{figure.title}, {WITHOUT}", caption=caption)


def similarity_figure(result: ProbesResult, subject: Subject) -> Figure | None:
    """Draw the accuracy of the similarity probe by layer for every N (number of candidates), with its controls."""
    frame = probe_curves(result)
    frame = frame[frame["probe"] == result.similarity] if len(frame) else frame
    if frame.empty:
        return None
    numbers = sorted(int(n) for n in frame["passages"].unique())
    frame = frame.assign(panel=[f"N = {n}" for n in frame["passages"]]).drop(columns=["probe", "passages"])
    probe = result.similarity
    chart = facets(
        curves(layer_axis(subject.layer_names), frame, ACCURACY), frame, "panel", [f"N = {n}" for n in numbers]
    )
    return Figure(
        "similarity_probe",
        f"The similarity probe: {probe}",
        "Accuracy of choosing the relevant passage among N passages by the retriever's similarity alone. No "
        "parameters are trained. Grey lines are the controls of both models.",
        f"Accuracy of the probe {probe} by layer for N = {', '.join(map(str, numbers))}, for both models and for the "
        "controls.",
        chart.properties(title=f"The similarity probe ({probe})"),
        on_page=False,
    )


def family_figure(result: ProbesResult, subject: Subject) -> Figure | None:
    """Draw the accuracy of every probe by layer with its controls. The reader selects N, the number of candidates."""
    frame = probe_curves(result)
    if frame.empty:
        return None
    probes = list(dict.fromkeys(frame["probe"]))
    panel = curves(layer_axis(subject.layer_names), frame, ACCURACY)
    return Figure(
        "probes",
        "Probes and controls",
        "Accuracy of choosing the relevant passage among N candidates, from the vectors of one layer. The probe "
        f"{result.similarity} is the retriever's similarity, without trained parameters. The probe passage_only never "
        "reads the query, so a probe that is more accurate than passage_only must read the query.",
        f"Accuracy by layer of the probes {', '.join(probes)}, for both models and for the controls.",
        choosing(panel, frame, _choices(result.similarity, frame)),
        at_largest_n(panel, frame, probes, "Probes and controls"),
    )


def effect_figure(result: ProbesResult, subject: Subject) -> Figure | None:
    """Draw the effect of fine-tuning on every probe's accuracy by layer, with the outcome of its test."""
    frame = effect_points(result)
    if frame.empty or result.effect is None:
        return None
    probes = list(dict.fromkeys(frame["probe"]))
    panel = effect_panel(layer_axis(subject.layer_names))
    rule = f"{correction(result.effect)}-corrected p below {alpha(result.effect):g}"
    return Figure(
        "effects",
        "Effect of fine-tuning by layer",
        f"Difference in accuracy, after - before, with confidence intervals. Gain and loss: {rule}. "
        f"{no_change_words(result.effect)}",
        f"Difference in accuracy by layer for the probes {', '.join(probes)}, with intervals.",
        choosing(panel, frame, _choices(result.similarity, frame)),
        at_largest_n(panel, frame, probes, "Effect of fine-tuning on accuracy"),
    )


def selectivity_figure(beyond_shuffled: pd.DataFrame, subject: Subject) -> Figure | None:
    """Draw the selectivity of every probe: its accuracy minus its accuracy with shuffled queries."""
    if beyond_shuffled.empty:
        return None
    frame = beyond_shuffled.rename(columns={"side": "series"}).assign(line=beyond_shuffled["side"])
    probes = list(dict.fromkeys(frame["probe"]))
    y = alt.Y("value:Q", title="selectivity")
    panel = alt.layer(zero_line(), curves(layer_axis(subject.layer_names), frame, y)).properties(**PANEL)
    return Figure(
        "selectivity",
        "Selectivity",
        "Accuracy minus the accuracy with shuffled queries, paired by query. A value of 0 means that the probe does "
        "not use the query.",
        f"Selectivity by layer of the probes {', '.join(probes)}, before and after.",
        choosing(panel, frame, _choices(probes[0], frame)),
        at_largest_n(panel, frame, probes, "Selectivity"),
    )


def probe_curves(result: ProbesResult) -> pd.DataFrame:
    """Return the points of the accuracy curves by layer: of every probe, of its controls, and of chance.

    Columns: probe, passages (number of candidates), layer, series, line, value, low, high.
    """
    cells = result.rows()
    if cells.empty:
        return cells
    sides = by_side(cells, ["probe", "control", "passages", "layer"])
    named = sides["control"].map(lambda c: CONTROL_NAMES.get(str(c), str(c)))
    plain = sides["control"] == PLAIN
    sides["series"] = sides["side"].where(plain, named)
    sides["line"] = sides["side"].where(plain, named + ", " + sides["side"])
    bands = sides.assign(low=sides["low"].where(plain), high=sides["high"].where(plain))
    return pd.concat([bands.drop(columns=["control", "side"]), _chance(cells)], ignore_index=True)


def effect_points(result: ProbesResult) -> pd.DataFrame:
    """Return the points of the effect figure: how fine-tuning changed each probe's accuracy at each layer.

    Accuracies under a control are left out. Columns: probe, passages (number of candidates), layer, value, low, high,
    outcome (of the test).
    """
    cells = result.rows(control=PLAIN)
    if cells.empty or result.effect is None:
        return pd.DataFrame()
    level = alpha(result.effect)
    outcome = [outcome_of(row, level) for _, row in cells.iterrows()]
    columns = {"effect": "value", "ci_low": "low", "ci_high": "high"}
    points = cells.rename(columns=columns)[["probe", "passages", "layer", "value", "low", "high"]]
    return points.assign(outcome=outcome)


def _chance(cells: pd.DataFrame) -> pd.DataFrame:
    places = cells[["probe", "passages", "layer"]].drop_duplicates()
    return places.assign(series=CHANCE, line=CHANCE, value=1 / places["passages"], low=float("nan"), high=float("nan"))


def _choices(probe: str, frame: pd.DataFrame) -> list[Selector]:
    return [
        Selector("probe", "probe", probe),
        Selector("passages", "N, candidate passages", max(int(n) for n in frame["passages"])),
    ]


def at_largest_n(panel: Any, frame: pd.DataFrame, probes: Sequence[str], title: str) -> Any:
    """Draw one panel for every probe, each with the data of the largest number of candidate passages."""
    largest = int(frame["passages"].max())
    return facets(panel, frame[frame["passages"] == largest], "probe", probes).properties(
        title=f"{title} (N = {largest})"
    )
