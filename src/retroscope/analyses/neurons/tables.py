"""Tables of neurons: every number, and what a paper prints."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd

from retroscope.analyses.neurons.frames import (
    LAYER_SHARE,
    ablation_rows,
    activity_effect,
    activity_rows,
    completeness_rows,
    effect_rows,
    layer_activity,
    neuron_rows,
    profile_rows,
)
from retroscope.analyses.neurons.maps import map_rows
from retroscope.analyses.neurons.result import GINI, LARGEST, PARTICIPATION, SINGLE, TOP_SHARE, NeuronFindings
from retroscope.study.paper_tables import NUMERIC, explained, printed_effects
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.numbers import MISSING, interval, p_value, score
from retroscope.typesetting.subject import AFTER, BEFORE

NOTHING = PaperTable(pd.DataFrame(), "")
PRINTED = {
    LAYER_SHARE: "share of the total",
    GINI: "Gini index",
    TOP_SHARE: "held by the top 1 %",
    PARTICIPATION: "participation",
}
OVERLAP_NUMBERS = ("between", "before_halves", "after_halves", "whole", "chance")


def profile_table(findings: NeuronFindings) -> pd.DataFrame:
    """One row per statistic, part and layer; with both sides and the tests where two are compared."""
    if findings.profile is not None:
        shares = effect_rows(findings, LAYER_SHARE).assign(statistic=LAYER_SHARE)
        return pd.concat([rows(findings.profile), shares], ignore_index=True)
    (side,) = findings.sides.values()
    names = [LAYER_SHARE, *map(str, side.scores.values.coords["statistic"].values)]
    return pd.concat([profile_rows(findings, name).assign(statistic=name) for name in names], ignore_index=True)


def threshold_table(findings: NeuronFindings) -> pd.DataFrame:
    """One row per part and threshold, over all layers: the part of the neurons that are active."""
    paired = activity_effect(findings)
    return activity_rows(findings) if paired is None else paired


def overlap_table(findings: NeuronFindings) -> pd.DataFrame:
    """As the attribution measured it."""
    return pd.DataFrame() if findings.overlap is None else findings.overlap.copy()


def ablation_points(findings: NeuronFindings) -> pd.DataFrame:
    """One row per side and point of a curve."""
    frames = [ablation_rows(s.ablation).assign(side=n) for n, s in findings.sides.items() if s.ablation]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def ablation_harm(findings: NeuronFindings) -> pd.DataFrame:
    """One row per side, fraction and measure: the top against its random draws."""
    frames = [s.ablation.table.assign(side=n) for n, s in findings.sides.items() if s.ablation]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def ablation_areas(findings: NeuronFindings) -> pd.DataFrame:
    """One row per side, curve and measure: the area between the curve and the random ones."""
    frames = [s.ablation.areas.assign(side=n) for n, s in findings.sides.items() if s.ablation]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def map_table(findings: NeuronFindings) -> pd.DataFrame:
    """One row per part, map, layer and bin of the heat maps."""
    frames = [map_rows(findings, part) for part in findings.parts]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def paper_shares(findings: NeuronFindings) -> PaperTable:
    """Each layer's share of the total, before and after."""
    return _paired(findings, LAYER_SHARE)


def paper_gini(findings: NeuronFindings) -> PaperTable:
    """The Gini index of each layer, before and after."""
    return _paired(findings, GINI)


def _paired(findings: NeuronFindings, statistic: str) -> PaperTable:
    if findings.profile is None:
        return NOTHING
    frame = effect_rows(findings, statistic)
    printed = printed_effects(findings.profile, frame)
    printed.insert(0, "matrix", frame["part"].astype(str))
    printed.insert(1, "layer", frame["layer"].astype(str))
    caption = f"Neurons, {PRINTED[statistic]} by layer: {_models(findings)}."
    return PaperTable(printed, caption, explained(findings.profile), NUMERIC)


def paper_profile(findings: NeuronFindings) -> PaperTable:
    """Every statistic by layer, of a retriever alone."""
    if findings.profile is not None:
        return NOTHING
    place = ["part", "layer"]
    frames = {title: profile_rows(findings, statistic).set_index(place) for statistic, title in PRINTED.items()}
    printed = pd.concat({title: _values(frame) for title, frame in frames.items()}, axis=1).fillna(MISSING)
    printed = printed.reset_index().rename(columns={"part": "matrix"}).astype(str)
    note = "Means over units, with their 95 % intervals."
    return PaperTable(printed, f"Neurons by layer: {_models(findings)}.", note, tuple(frames))


def _values(frame: pd.DataFrame) -> "pd.Series[str]":
    """Values with their intervals, as text."""
    said = [f"{score(r['value'])} {interval(r['low'], r['high'])}" for _, r in frame.iterrows()]
    return pd.Series(said, index=frame.index, dtype=object)


def paper_ablation(findings: NeuronFindings) -> PaperTable:
    """The top against its random draws, fraction by fraction."""
    found = ablation_harm(findings)
    if found.empty:
        return NOTHING
    alone = set(findings.sides) == {SINGLE}
    columns = {} if alone else {"side": found["side"].astype(str)}
    beside = [how for how in ("signed", "magnitude") if how in found]
    shown = ("intact", "top", *beside, LARGEST, "bottom", "random")
    numbers = {name: [score(v) for v in found[name]] for name in shown}
    harms = {"harm": "harm over random", "harm_over_largest": "harm over largest"}
    tests = {"p_queries": "p, queries", "p_draws": "p, draws", "p_largest": "p, largest", "p_confirmed": "p, corrected"}
    columns |= {
        "measure": found["measure"].astype(str),
        "ablated": [f"{100 * f:.3g} %" for f in found["fraction"]],
        "neurons": [f"{n:,.0f}" for n in found["neurons"]],
        "layers": [f"{n:.0f}" for n in found["layers"]],
        **numbers,
        **{title: [_effect(row, name) for _, row in found.iterrows()] for name, title in harms.items()},
        "lowest": ["yes" if below else "no" for below in found["below_every_draw"]],
        **{t: [p_value(p).removeprefix("p ").removeprefix("= ") for p in found[name]] for name, t in tests.items()},
        "beats both": ["yes" if both else "no" for both in found["confirmed"]],
    }
    note = (
        "All sets have as many neurons of every layer and matrix as the top has. Largest: by the change that holding "
        "the neuron makes in what its block writes; neither gradient nor query. Harm: what the others leave over what "
        "the top leaves, paired by query, with its interval over queries; random draws are taken as they are. Lowest: "
        "the top is below every draw. p, queries and p, largest: paired tests against the mean draw and the largest. "
        "p, draws: of the top being one more draw (Student's prediction test). p, corrected: the largest of the three, "
        "Holm-corrected over a measure's shares."
    )
    caption = f"Retrieval with neurons held at one value: {_models(findings)}."
    return PaperTable(
        pd.DataFrame(columns),
        caption,
        note,
        ("ablated", "neurons", "layers", *numbers, *harms.values(), *tests.values()),
    )


def narrow_ablation(findings: NeuronFindings) -> PaperTable:
    """The same without intervals and single tests, for a terminal of 100 columns."""
    whole = paper_ablation(findings)
    if whole.frame.empty:
        return whole
    left_out = [c for c in whole.frame if c.startswith(("harm", "p, queries", "p, draws", "p, largest", "bottom"))]
    note = (
        "All sets have as many neurons of every layer as the top has. Largest: by the change that holding the neuron "
        "makes in what its block writes; neither gradient nor query. Lowest: the top is below every random draw. p, "
        "both: that the top costs more than random neurons and than the largest, Holm-corrected over the shares."
    )
    frame = whole.frame.drop(columns=[*left_out, "layers"]).rename(columns={"p, corrected": "p, both"})
    return replace(whole, frame=frame, numeric=(*whole.numeric, "p, both"), note=note)


def _effect(row: "pd.Series[Any]", name: str) -> str:
    return f"{score(row[name])} {interval(row[f'{name}_low'], row[f'{name}_high'])}"


def paper_completeness(findings: NeuronFindings) -> PaperTable:
    """The completeness gap of every layer and FFN matrix."""
    found = completeness_rows(findings)
    if found.empty:
        return NOTHING
    alone = set(findings.sides) == {SINGLE}
    columns = {} if alone else {"side": found["side"]}
    columns |= {
        "matrix": found["part"],
        "layer": found["layer"].astype(str),
        "gap": [f"{gap:.2g}" for gap in found["gap"]],
        "gap, 99 %": [f"{gap:.2g}" for gap in found["gap_worst"]],
        "share": [score(share) for share in found["share"]],
        "nodes": [f"{nodes:.3g}" for nodes in found["nodes"]],
        "judged": ["yes" if judged else "" for judged in found["judged"]],
    }
    note = (
        "Gap: |sum of signed values - (F(1) - F(0))| over the sum of their sizes, median and 99 % quantile over units. "
        "Share: of the matrix's attribution. Judged: the largest gap where at least half of an even share lies."
    )
    caption = f"Completeness by layer: {_models(findings)}."
    return PaperTable(pd.DataFrame(columns), caption, note, ("gap", "gap, 99 %", "share", "nodes"))


def paper_overlap(findings: NeuronFindings) -> PaperTable:
    """How far the two name the same neurons, over all layers of a matrix."""
    if findings.overlap is None:
        return NOTHING
    found = findings.overlap[findings.overlap["layer"] == 0]
    printed = found[["part", "measure"]].astype(str).rename(columns={"part": "matrix"})
    for name in OVERLAP_NUMBERS:
        printed[name.replace("_", ", ")] = [score(v) for v in found[name]]
    note = "between, halves: of random halves of the units that share none. whole: of all units, without a ceiling."
    caption = f"Overlap of neurons over all layers: {_models(findings)}."
    return PaperTable(printed, caption, note, tuple(printed.columns[2:]))


def _models(findings: NeuronFindings) -> str:
    if set(findings.sides) == {BEFORE, AFTER}:
        return f"{findings.sides[BEFORE].model} (before) and {findings.sides[AFTER].model} (after)"
    return ", ".join(side.model for side in findings.sides.values())


NEURON_TABLES: dict[str, Callable[[NeuronFindings], pd.DataFrame]] = {
    "neuron_profile": profile_table,
    "neuron_thresholds": threshold_table,
    "neuron_thresholds_by_layer": layer_activity,
    "neuron_overlap": overlap_table,
    "neuron_ablation": ablation_harm,
    "neuron_ablation_curves": ablation_points,
    "neuron_ablation_areas": ablation_areas,
    "neuron_completeness": completeness_rows,
    "neuron_maps": map_table,
}
# One row a neuron is too much for text: parquet only.
LARGE_NEURON_TABLES: dict[str, Callable[[NeuronFindings], pd.DataFrame]] = {"neurons": neuron_rows}
NEURON_PAPER_TABLES: dict[str, Callable[[NeuronFindings], PaperTable]] = {
    "neuron_shares": paper_shares,
    "neuron_gini": paper_gini,
    "neuron_profile": paper_profile,
    "neuron_ablation": paper_ablation,
    "neuron_overlap": paper_overlap,
    "neuron_completeness": paper_completeness,
}
