"""Statements about neurons: concentration of the attribution, its layers, and the overlap of both models.

A difference is claimed only if its corrected p is significant. A statement about neurons that no ablation confirms is
marked as doubtful.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from retroscope.analyses.neurons.ablation.words import TOPIC, ablation_statements
from retroscope.analyses.neurons.checks import check_statements, doubted
from retroscope.analyses.neurons.frames import LAYER_SHARE, activity_effect, activity_rows, effect_rows, profile_rows
from retroscope.analyses.neurons.result import NeuronResult, TowerNeurons
from retroscope.attribution.result import GINI, PARTICIPATION, TOP_SHARE
from retroscope.number_format import count, interval, score, signed, tied_p
from retroscope.typesetting.effect_words import best, effect_limits, estimate_of
from retroscope.typesetting.frames import alpha, correction, margin, widened
from retroscope.typesetting.statements import State, Statement, is_equivalent
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL

LEVEL = 0.05  # of intervals where nothing is compared
EVERYTHING = "all"  # the part that stands for all of them in an overlap
ACTIVE = (
    "a neuron is active if the magnitude of its attribution, divided by the largest magnitude of the same example, is "
    "at least the threshold"
)
PARTICIPATING = "the participation (1 if all neurons have equal attribution)"


def all_statements(result: NeuronResult) -> list[Statement]:
    """Return all conclusions (statements) about the neurons, first those of one encoder, then those of the other."""
    return [s for tower in result.towers.values() for s in neuron_statements(tower)]


def neuron_statements(tower: TowerNeurons) -> list[Statement]:
    """Return all conclusions (statements) about one encoder's neurons: from ablation, from attribution, from checks."""
    proof = [s for name, side in tower.sides.items() for s in ablation_statements(name, side)]
    claims = [
        s for part in tower.parts for rule in (concentration, layers, activity_statements) for s in rule(tower, part)
    ]
    every_claim = (*claims, *overlap_statements(tower))
    claims = [s if s.state is State.NOT_SIGNIFICANT else doubted(s, tower) for s in every_claim]
    every = [*proof, *claims, *check_statements(tower)]
    if not tower.label:
        return every
    return [replace(s, tied=f"{tower.label.capitalize()} tower: {s.tied}") for s in every]


def concentration(tower: TowerNeurons, part: str) -> list[Statement]:
    """State at which layers fine-tuning concentrated the attribution on fewer neurons or spread it over more."""
    table = _of_part(effect_rows(tower, GINI), part)
    if tower.profile is None:
        return _concentrated_alone(tower, part)
    if table.empty:
        return []
    opening = f"Concentration of the attribution on few {part} neurons"
    up, down = _changed(tower, table)
    if up.empty and down.empty:
        return [_unchanged(f"{opening} (Gini index of the attributions)", table, "layer")]
    moves = [f"concentrated on fewer neurons at {_layers(up)}"] if len(up) else []
    moves += [f"spread over more neurons at {_layers(down)}"] if len(down) else []
    largest = _largest(up, down)
    text = (
        f"{opening}: after fine-tuning, attribution is {' and '.join(moves)} ({count(len(table), 'layer')} tested). "
        f"The largest significant change of the Gini index is at layer {largest['layer']}, {_effect(tower, largest)}. "
        f"{_beside(tower, part, TOP_SHARE, 'The share of the attribution that the top 1 % of neurons have')}; "
        f"{_beside(tower, part, PARTICIPATION, PARTICIPATING)}.{_negligible(tower, up, down)}"
    )
    about = _about(part, "concentration", largest, f"Gini index, {part}")
    return [Statement(TOPIC, State.SIGNIFICANT, text, **about)]


def _concentrated_alone(tower: TowerNeurons, part: str) -> list[Statement]:
    table = _of_part(profile_rows(tower, GINI), part)
    if table.empty:
        return []
    most, least = best(table, "value"), table.loc[table["value"].idxmin()]
    text = (
        f"Concentration of the attribution on few {part} neurons: the Gini index of a layer (0 if all its neurons have "
        f"equal attribution) ranges from {_value(least)} (layer {least['layer']}) to {_value(most)} (layer "
        f"{most['layer']})."
    )
    return [Statement(TOPIC, State.MEASURED, text, (MODEL,), code=f"concentration.{part}")]


def layers(tower: TowerNeurons, part: str) -> list[Statement]:
    """State which layers have the largest share of the attribution, and how fine-tuning changed these shares."""
    shares = [_peaks(tower, part)]
    table = _of_part(effect_rows(tower, LAYER_SHARE), part)
    if tower.profile is not None and len(table):
        shares.append(_shifted(tower, part, table))
    return [s for s in shares if s is not None]


def _peaks(tower: TowerNeurons, part: str) -> Statement | None:
    """State which layer has the largest share of the attribution in each model.

    A layer is named only if its interval, widened for the number of layers, matrices and models, lies above the share
    that every layer has in an even spread.
    """
    level = alpha(tower.profile) if tower.profile is not None else LEVEL
    cells = _of_part(widened(profile_rows(tower, LAYER_SHARE), level), part)
    if cells.empty:
        return None
    even = 1 / cells["layer"].nunique()
    peaks = [_peak(name, best(cells[cells["side"] == name], "value"), even) for name in tower.sides]
    text = (
        f"Share of each layer in the total attribution of {part} neurons (an even spread gives {score(even)}): "
        f"{'; '.join(peaks)}."
    )
    return Statement(TOPIC, State.MEASURED, text, tuple(tower.sides), code=f"peaks.{part}", figure="neuron_profile")


def _peak(name: str, top: "pd.Series[Any]", even: float) -> str:
    where = "" if name == MODEL else f"{name} fine-tuning, "
    if top["low"] > even:
        return f"{where}layer {top['layer']} has the largest share, {_value(top)}"
    largest = f"largest share: {_value(top)}, layer {top['layer']}"
    return f"{where}no layer has a share significantly above that of an even spread ({largest})"


def _shifted(tower: TowerNeurons, part: str, table: pd.DataFrame) -> Statement:
    up, down = _changed(tower, table)
    if up.empty and down.empty:
        return _unchanged(f"Share of each layer in the total attribution of {part} neurons", table, "layer")
    moves = [f"towards {_layers(up)}"] if len(up) else []
    moves += [f"away from {_layers(down)}"] if len(down) else []
    largest = _largest(up, down)
    text = (
        f"Fine-tuning moved the attribution of {part} neurons {' and '.join(moves)}. The largest significant change of "
        f"a layer's share of the total attribution is at layer {largest['layer']}, "
        f"{_effect(tower, largest)}.{_negligible(tower, up, down)}"
    )
    about = _about(part, "layers", largest, f"share of the total, layer {largest['layer']}")
    return Statement(TOPIC, State.SIGNIFICANT, text, **about)


def activity_statements(tower: TowerNeurons, part: str) -> list[Statement]:
    """State for every threshold whether more neurons are active after fine-tuning, or fewer."""
    paired = activity_effect(tower)
    if paired is None:
        return _active_alone(tower, part)
    table = _of_part(paired, part)
    if table.empty:
        return []
    opening = f"Active {part} neurons ({ACTIVE})"
    up, down = _changed(tower, table)
    if up.empty and down.empty:
        return [_unchanged(opening, table, "threshold")]
    moves = [f"more neurons are active at {_thresholds(up)}"] if len(up) else []
    moves += [f"fewer neurons are active at {_thresholds(down)}"] if len(down) else []
    turn = " So whether more or fewer neurons are active depends on the threshold." if len(up) and len(down) else ""
    largest = _largest(up, down)
    text = (
        f"{opening}: after fine-tuning, {' and '.join(moves)} ({count(len(table), 'threshold')} tested).{turn} The "
        f"largest significant change of the share of active neurons is at threshold {largest['threshold']:g}, "
        f"{_effect(tower, largest)}.{_negligible(tower, up, down)}"
    )
    about = _about(part, "active", largest, f"share of the neurons active at {largest['threshold']:g}")
    return [Statement(TOPIC, State.SIGNIFICANT, text, **about)]


def _active_alone(tower: TowerNeurons, part: str) -> list[Statement]:
    table = _of_part(activity_rows(tower), part)
    shares = "; ".join(f"{_value(row)} at threshold {row['threshold']:g}" for _, row in table.iterrows())
    text = f"Share of active {part} neurons ({ACTIVE}): {shares}."
    return [Statement(TOPIC, State.MEASURED, text, (MODEL,), code=f"active.{part}")] if shares else []


def overlap_statements(tower: TowerNeurons) -> list[Statement]:
    """State how far both models' neurons agree and, for comparison, those of two halves of one model's examples."""
    if tower.overlap is None:
        return []
    together = tower.overlap[tower.overlap["layer"] == 0]
    whole = together[together["part"] == EVERYTHING]
    shown = whole if len(whole) else together
    sentences = [_overlapping(row) for _, row in shown.iterrows()]
    text = (
        f"Agreement of the two models' neurons over all layers. {' '.join(sentences)} These numbers are from one "
        "random split of the examples into halves and are not tested."
    )
    return [Statement(TOPIC, State.MEASURED, text, code="overlap", figure="neuron_overlap")] if sentences else []


def _overlapping(row: "pd.Series[Any]") -> str:
    name = OVERLAPS.get(row["measure"], row["measure"])
    if row["part"] != EVERYTHING:
        name = f"{name} ({row['part']} neurons)"
    own = [row["before_halves"], row["after_halves"]]
    if any(pd.isna(v) for v in (row["between"], *own)):
        return f"{name} is undefined, because all values to be ranked are equal."
    halves = (
        f"agreement of two halves of the examples: {score(own[0])} before fine-tuning, {score(own[1])} after it; by "
        f"chance: {score(row['chance'])}"
    )
    if min(own) <= row["chance"]:
        return (
            f"{name} is {score(row['between'])}. This value is not interpretable, because two halves of the examples "
            f"of one model agree no better than chance ({halves})."
        )
    most = score(overlap_ceiling(*own))
    return f"{name} is {score(row['between'])}; noise in both attributions limits it to about {most} ({halves})."


def overlap_ceiling(before: float, after: float) -> float:
    """Return the overlap to expect of two models with the same neurons, given the noise in each attribution.

    It is the geometric mean of `before` and `after`, the overlaps between two halves of the examples of each model.
    With independent noise, the observed correlation between two models is the true one times this mean (Spearman 1904).
    For Jaccard indices it is a rule of thumb.
    """
    return math.sqrt(before * after)


def _of_part(table: pd.DataFrame, part: str) -> pd.DataFrame:
    return table[table["part"] == part].reset_index(drop=True)


def _changed(tower: TowerNeurons, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two tables: the rows with a significant rise, and the rows with a significant fall (corrected p)."""
    if tower.profile is None:
        return table.iloc[:0], table.iloc[:0]
    changed = table[table["p_corrected"] < alpha(tower.profile)]
    return changed[changed["effect"] > 0], changed[changed["effect"] < 0]


def _negligible(tower: TowerNeurons, *changed: pd.DataFrame) -> str:
    """Return a sentence if every significant change also passes the equivalence test, or else ""."""
    equivalent = [is_equivalent(row) for frame in changed for _, row in frame.iterrows()]
    within = margin(tower.profile) if tower.profile else float("nan")
    if not equivalent or not all(equivalent):
        return ""
    return f" These changes are significant but negligible: all pass the equivalence test with the margin {within:g}."


def _unchanged(opening: str, table: pd.DataFrame, thing: str) -> Statement:
    equal = sum(is_equivalent(row) for _, row in table.iterrows())
    state = State.EQUIVALENT if equal == len(table) else State.NOT_SIGNIFICANT
    text = (
        f"{opening}: no significant difference at any of {count(len(table), thing)} (equivalence was not tested)."
        if table["p_equivalence"].isna().all()
        else f"{opening}: no significant difference at any of {count(len(table), thing)} ({equal} equivalent, "
        f"{len(table) - equal} undecided)."
    )
    return Statement(TOPIC, state, text, code="unchanged")


def _about(part: str, code: str, row: "pd.Series[Any]", name: str) -> dict[str, Any]:
    return {"code": f"{code}.{part}", "estimate": estimate_of(row, name)}


def _beside(tower: TowerNeurons, part: str, statistic: str, name: str) -> str:
    up, down = _changed(tower, _of_part(effect_rows(tower, statistic), part))
    return f"{name} rises significantly at {count(len(up), 'layer')} and falls significantly at {len(down)}"


def _largest(*changed: pd.DataFrame) -> "pd.Series[Any]":
    table = pd.concat(changed)
    return table.loc[table["effect"].abs().idxmax()]


def _effect(tower: TowerNeurons, row: "pd.Series[Any]") -> str:
    corrected = f", {correction(tower.profile)}-corrected {tied_p(row['p_corrected'])}" if tower.profile else ""
    return f"from {score(row[BEFORE])} to {score(row[AFTER])} ({signed(row['effect'])} {effect_limits(row)}{corrected})"


def _value(row: "pd.Series[Any]") -> str:
    return f"{score(row['value'])} {interval(row['low'], row['high'])}"


def _layers(table: pd.DataFrame) -> str:
    """Format layer numbers as text: "layer 3", "layers 1-2 and 4-6"."""
    numbers = sorted(int(layer) for layer in table["layer"])
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    ranges = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return f"layer{'s' if len(numbers) > 1 else ''} {_and(ranges)}"


def _thresholds(table: pd.DataFrame) -> str:
    return f"threshold{'s' if len(table) > 1 else ''} {_and([f'{t:g}' for t in sorted(table['threshold'])])}"


def _and(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


OVERLAPS = {
    "jaccard": "The Jaccard index of the sets of top neurons",
    "spearman": "Spearman's correlation of the ranks of all neurons",
}
