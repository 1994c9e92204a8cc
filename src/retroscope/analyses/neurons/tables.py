"""Formatted tables about neurons, for the report's page and for a paper."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd

from retroscope.analyses.neurons.data_tables import ablation_harm, by_prefix
from retroscope.analyses.neurons.frames import (
    LAYER_SHARE,
    completeness_rows,
    effect_rows,
    profile_rows,
)
from retroscope.analyses.neurons.result import LARGEST, NeuronResult, TowerNeurons
from retroscope.attribution.result import GINI, PARTICIPATION, TOP_SHARE
from retroscope.number_format import MISSING, exact_percent, interval, p_number, score
from retroscope.typesetting.effect_tables import NUMERIC, explained, printed_effects
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.subject import AFTER, BEFORE, with_side

NOTHING = PaperTable(pd.DataFrame(), "")
PRINTED = {
    LAYER_SHARE: "share of the total attribution",
    GINI: "Gini index",
    TOP_SHARE: "share in the top 1 %",
    PARTICIPATION: "participation",
}
CAPTIONS = {
    LAYER_SHARE: "Share of the total attribution (over all layers) that the neurons of each layer have",
    GINI: "Gini index of the attributions of the neurons in each layer",
}
OVERLAP_NUMBERS = ("between", "before_halves", "after_halves", "whole", "chance")
ABLATION_NOTE = (
    "Intact: the measure with no neurons fixed. Top, ... random: the measure with these neurons fixed. Every set has "
    "as many neurons in each layer and matrix as the set of top neurons (those with the largest attribution). Largest: "
    "the neurons whose fixing changes the output of their block most, chosen without gradient or query. Bottom: the "
    "neurons with the smallest attribution. Harm: the measure with random (or the largest) neurons fixed minus the "
    "measure with the top neurons fixed, paired by query. Its interval is over queries, for these random sets only. "
    "Lowest: yes if the measure is lower with the top neurons fixed than with any random set fixed. "
    '"p, queries": paired test of the top neurons against the mean of the random sets. "p, draws": test whether the '
    'top neurons could be one more random set (Student\'s prediction). "p, largest": paired test of the top neurons '
    'against the largest neurons. "p, corrected": the largest of these three p-values, Holm-corrected over the '
    'fractions of neurons for each measure. Beats both: yes if "p, corrected" is significant.'
)


def paper_shares(tower: TowerNeurons) -> PaperTable:
    """Return the formatted table of each layer's share of the total attribution, before and after fine-tuning.

    It is empty for a single model.
    """
    return _paired(tower, LAYER_SHARE)


def paper_gini(tower: TowerNeurons) -> PaperTable:
    """Return the formatted table of the attribution's Gini index in each layer, before and after fine-tuning.

    It is empty for a single model.
    """
    return _paired(tower, GINI)


def _paired(tower: TowerNeurons, statistic: str) -> PaperTable:
    if tower.profile is None:
        return NOTHING
    frame = effect_rows(tower, statistic)
    printed = printed_effects(tower.profile, frame)
    printed.insert(0, "matrix", frame["part"].astype(str))
    printed.insert(1, "layer", frame["layer"].astype(str))
    caption = f"{CAPTIONS[statistic]}: {_models(tower)}."
    return PaperTable(printed, caption, explained(tower.profile), NUMERIC)


def paper_profile(tower: TowerNeurons) -> PaperTable:
    """Return the formatted table of a single model's attribution statistics, e.g. the Gini index, by layer.

    It is empty for two models.
    """
    if tower.profile is not None:
        return NOTHING
    place = ["part", "layer"]
    frames = {title: profile_rows(tower, statistic).set_index(place) for statistic, title in PRINTED.items()}
    printed = pd.concat({title: _values(frame) for title, frame in frames.items()}, axis=1).fillna(MISSING)
    printed = printed.reset_index().rename(columns={"part": "matrix"}).astype(str)
    note = "Means over examples, with 95 % confidence intervals."
    return PaperTable(printed, f"Neurons by layer: {_models(tower)}.", note, tuple(frames))


def _values(frame: pd.DataFrame) -> "pd.Series[str]":
    texts = [f"{score(r['value'])} {interval(r['low'], r['high'])}" for _, r in frame.iterrows()]
    return pd.Series(texts, index=frame.index, dtype=object)


def paper_ablation(tower: TowerNeurons) -> PaperTable:
    """Return the formatted table of retrieval with the top neurons and with control neurons fixed, by fraction."""
    losses = ablation_harm(tower)
    if losses.empty:
        return NOTHING
    columns = {} if tower.is_alone else {"side": losses["side"].astype(str)}
    beside = [how for how in ("signed", "magnitude") if how in losses]
    shown = ("intact", "top", *beside, LARGEST, "bottom", "random")
    numbers = {name: [score(v) for v in losses[name]] for name in shown}
    harms = {"harm": "harm over random", "harm_over_largest": "harm over largest"}
    tests = {"p_queries": "p, queries", "p_draws": "p, draws", "p_largest": "p, largest", "p_confirmed": "p, corrected"}
    columns |= {
        "measure": losses["measure"].astype(str),
        "ablated": [exact_percent(f) for f in losses["fraction"]],
        "neurons": [f"{n:,.0f}" for n in losses["neurons"]],
        "layers": [f"{n:.0f}" for n in losses["layers"]],
        **numbers,
        **{title: [_effect(row, name) for _, row in losses.iterrows()] for name, title in harms.items()},
        "lowest": ["yes" if below else "no" for below in losses["below_every_draw"]],
        **{t: [p_number(p) for p in losses[name]] for name, t in tests.items()},
        "beats both": ["yes" if both else "no" for both in losses["confirmed"]],
    }
    caption = f"Retrieval with neurons fixed at one value: {_models(tower)}."
    return PaperTable(
        pd.DataFrame(columns),
        caption,
        ABLATION_NOTE,
        ("ablated", "neurons", "layers", *numbers, *harms.values(), *tests.values()),
    )


def narrow_ablation(tower: TowerNeurons) -> PaperTable:
    """Return the ablation table without harms, uncorrected p-values, layers and bottom neurons, to fit 100 columns."""
    whole = paper_ablation(tower)
    if whole.frame.empty:
        return whole
    left_out = [c for c in whole.frame if c.startswith(("harm", "p, queries", "p, draws", "p, largest", "bottom"))]
    note = (
        "Intact: the measure with no neurons fixed. Top, ... random: the measure with these neurons fixed. Every set "
        "has as many neurons in each layer as the set of top neurons (those with the largest attribution). Largest: "
        "the neurons whose fixing changes the output of their block most, chosen without gradient or query. Lowest: "
        "yes if the measure is lower with the top neurons fixed than with any random set fixed. p, both: p of the test "
        "that fixing the top neurons lowers the measure more than fixing random neurons and more than fixing the "
        "largest neurons, Holm-corrected over the fractions of neurons."
    )
    frame = whole.frame.drop(columns=[*left_out, "layers"]).rename(columns={"p, corrected": "p, both"})
    return replace(whole, frame=frame, numeric=(*whole.numeric, "p, both"), note=note)


def _effect(row: "pd.Series[Any]", name: str) -> str:
    return f"{score(row[name])} {interval(row[f'{name}_low'], row[f'{name}_high'])}"


def paper_completeness(tower: TowerNeurons) -> PaperTable:
    """Return the formatted table of the completeness gap by layer and FFN matrix."""
    gaps = completeness_rows(tower)
    if gaps.empty:
        return NOTHING
    columns = {} if tower.is_alone else {"side": gaps["side"]}
    columns |= {
        "matrix": gaps["part"],
        "layer": gaps["layer"].astype(str),
        "gap": [f"{gap:.2g}" for gap in gaps["gap"]],
        "gap, 99 %": [f"{gap:.2g}" for gap in gaps["gap_worst"]],
        "share": [score(share) for share in gaps["share"]],
        "nodes": [f"{nodes:.3g}" for nodes in gaps["nodes"]],
        "judged": ["yes" if judged else "" for judged in gaps["judged"]],
    }
    note = (
        "Gap: |sum of signed attributions - (F(1) - F(0))|, divided by the sum of absolute attributions, as median and "
        "99 % quantile over examples. Share: the layer's share of the attribution over all layers of the same kind of "
        "matrix. Nodes: mean number of quadrature nodes. Judged: yes for the row whose gap decides whether there is a "
        "caution or an alarm. It has the largest gap of all rows with a substantial share of the attribution or of the "
        "top neurons (at least a tenth, or at least half of an even share)."
    )
    caption = f"Completeness by layer: {_models(tower)}."
    return PaperTable(pd.DataFrame(columns), caption, note, ("gap", "gap, 99 %", "share", "nodes"))


def paper_overlap(tower: TowerNeurons) -> PaperTable:
    """Return the formatted table of how far both models' neurons agree, over all layers of an FFN matrix."""
    if tower.overlap is None:
        return NOTHING
    overlaps = tower.overlap[tower.overlap["layer"] == 0]
    printed = overlaps[["part", "measure"]].astype(str).rename(columns={"part": "matrix"})
    for name in OVERLAP_NUMBERS:
        printed[name.replace("_", ", ")] = [score(v) for v in overlaps[name]]
    note = (
        "between: agreement of the two models, each on a different half of the examples. before, halves and after, "
        "halves: agreement of one model with itself, between both halves. The halves are random and share no example. "
        "whole: agreement of the two models on all examples, for which no ceiling is known. chance: agreement to "
        "expect by chance."
    )
    caption = (
        "Agreement of the neurons of two models over all layers, by the sets of top neurons (jaccard) and by the ranks "
        f"of all neurons (spearman): {_models(tower)}."
    )
    return PaperTable(printed, caption, note, tuple(printed.columns[2:]))


def _models(tower: TowerNeurons) -> str:
    if set(tower.sides) == {BEFORE, AFTER}:
        return " and ".join(with_side(tower.sides[side].name, side) for side in (BEFORE, AFTER))
    return ", ".join(side.name for side in tower.sides.values())


PAPER_TABLES: dict[str, Callable[[TowerNeurons], PaperTable]] = {
    "neuron_shares": paper_shares,
    "neuron_gini": paper_gini,
    "neuron_profile": paper_profile,
    "neuron_ablation": paper_ablation,
    "neuron_overlap": paper_overlap,
    "neuron_completeness": paper_completeness,
}


def neuron_tables(result: NeuronResult) -> dict[str, PaperTable]:
    """Return all formatted tables about neurons by their names, for the report's page and for a paper.

    If there are results for both encoders (towers), captions name the encoder.
    """
    tables_of = {}
    for prefix, tower in by_prefix(result):
        lead = f"{tower.label.capitalize()} tower. " if tower.label else ""
        for name, make in PAPER_TABLES.items():
            table = make(tower)
            tables_of[f"{prefix}{name}"] = replace(table, caption=f"{lead}{table.caption}")
    return tables_of
