"""Statements about the changes of weights from backbone to retriever.

Changes are described, not tested: weights are not a sample of a population.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from retroscope.analyses.weights.result import WeightResult
from retroscope.drift.result import CHANGED, COMPARED, ONLY_AFTER, ONLY_BEFORE, RESHAPED, ROUNDED, WeightDrift
from retroscope.number_format import count, percent
from retroscope.typesetting.statements import Estimate, Kind, State, Statement

TOPIC = "weights"
NOT_COMPARED = {  # status -> how it is reported
    ONLY_BEFORE: "could not be compared: missing after fine-tuning",
    ONLY_AFTER: "could not be compared: missing before fine-tuning",
    RESHAPED: "could not be compared: another shape after fine-tuning",
}
LOW_RANK = 0.1  # effective rank over that of a random change, below which a change is as narrow as an adapter's
PART_NAMES = {
    "attention": "attention",
    "ffn_in": "FFN in",
    "ffn_gate": "FFN gate",
    "ffn_out": "FFN out",
    "norm": "norms",
    "embedding": "embeddings",
    "final_norm": "final norm",
    "other": "pooler",
}


def tower_statements(result: WeightResult) -> tuple[Statement, ...]:
    """Return the statements about the weights of the query and the passage encoder.

    They name the encoder (tower) if both have weights of their own.
    """
    if len(result.by_tower) == 1:
        return tuple(s for drift in result.by_tower.values() for s in weight_statements(drift))
    return tuple(
        replace(s, tied=f"{tower.capitalize()} tower: {s.tied}")
        for tower, drift in result.by_tower.items()
        for s in weight_statements(drift)
    )


def weight_statements(drift: WeightDrift) -> tuple[Statement, ...]:
    """Return every statement about the weights of one encoder, from general to specific."""
    rules = (_not_compared, _how_much, _where, _depth, _shape, _direction, _intruders)
    broken = drift.tensors.loc[
        np.isinf(drift.tensors["change"].astype(float)) | _without_number(drift), "name"
    ].tolist()
    if broken:
        verb = "contains" if len(broken) == 1 else "contain"
        text = (
            f"{count(len(broken), 'tensor')} (e.g. {broken[0]}) {verb} values that are not finite, so the change of "
            "the weights is not reported."
        )
        return (*_not_compared(drift), Statement(TOPIC, State.FAILED, text, (), code="not_finite"))
    return tuple(s for rule in rules for s in rule(drift))


def _without_number(drift: WeightDrift) -> "pd.Series[bool]":
    """Return, for each tensor, whether it was compared but its change is not a finite number."""
    return drift.tensors["status"].isin(COMPARED) & drift.tensors["change"].isna()


def _not_compared(drift: WeightDrift) -> Iterable[Statement]:
    for status, what in NOT_COMPARED.items():
        names = drift.tensors.loc[drift.tensors["status"] == status, "name"].tolist()
        if names:
            text = f"{count(len(names), 'tensor')} {what} ({', '.join(names[:3])}{' ...' if len(names) > 3 else ''})."
            yield Statement(TOPIC, State.MEASURED, text, (), code="not_compared", caution=True)


def _how_much(drift: WeightDrift) -> Iterable[Statement]:
    compared = drift.tensors[drift.tensors["status"].isin(COMPARED)]
    moved = compared[compared["status"] == CHANGED]
    rounded = int((compared["status"] == ROUNDED).sum())
    verb = "differs" if rounded == 1 else "differ"
    apart = f" {count(rounded, 'tensor')} {verb} only by the rounding of their number format." if rounded else ""
    if moved.empty:
        text = (
            f"NOTHING CHANGED: none of {count(len(compared), 'tensor')} differs.{apart} The same weights were given "
            "twice, or fine-tuning never reached the backbone."
        )
        yield Statement(TOPIC, State.FAILED, text, (), code="how_much")
        return
    weights = percent(moved["parameters"].sum() / compared["parameters"].sum())
    size = percent(_norm(compared["change"]) / _norm(compared["norm"]))
    text = (
        f"{len(moved):,} of {count(len(compared), 'tensor')} changed; the changed tensors contain {weights} of the "
        f"weights.{apart} The Frobenius norm of the weight change is {size} of the Frobenius norm of the weights "
        "before fine-tuning."
    )
    share = float(_norm(compared["change"]) / _norm(compared["norm"]))
    number = Estimate("of the norm of the weights", share, kind=Kind.SHARE)
    yield Statement(TOPIC, State.MEASURED, text, (), code="how_much", estimate=number)


def _where(drift: WeightDrift) -> Iterable[Statement]:
    """State which parts of the network changed, and which did not."""
    changed = drift.groups[drift.groups["changed"] > 0]
    if changed.empty:
        return
    parts = []
    for part, rows in changed.groupby("part", sort=False):
        top = rows.loc[rows["relative"].idxmax()]
        of = int((drift.groups["part"] == part).sum())
        where = "" if of == 1 else f" (layer {top['layer']}; {len(rows)} of {of} layers changed)"
        parts.append(f"{PART_NAMES[str(part)]} {percent(top['relative'])}{where}")
    text = (
        "Norm of the weight change, divided by the norm of the weights before, for each changed part at the layer "
        f"where it changed most: {'; '.join(parts)}."
    )
    still = [PART_NAMES[p] for p in dict.fromkeys(drift.groups["part"]) if p not in set(changed["part"])]
    if still:
        text += f" Unchanged parts: {', '.join(still)}."
    yield Statement(TOPIC, State.MEASURED, text, (), code="where")


def _depth(drift: WeightDrift) -> Iterable[Statement]:
    """State whether the weights changed more in the upper or in the lower blocks."""
    layers = _by_layer(drift)
    if layers.empty or drift.n_blocks < 2 or not layers["change"].any():
        return
    upper = layers["layer"] > drift.n_blocks / 2
    share = float((layers.loc[upper, "change"] ** 2).sum() / (layers["change"] ** 2).sum())
    even = float(layers.loc[upper, "parameters"].sum() / layers["parameters"].sum())
    most, least = layers.loc[layers["relative"].idxmax()], layers.loc[layers["relative"].idxmin()]
    text = (
        f"The blocks above layer {drift.n_blocks // 2} have {percent(share)} of the squared norm of the change of all "
        f"blocks; an even spread over the weights would give {percent(even)}. Layer {most['layer']:.0f} changed most "
        f"({percent(most['relative'])} of its norm before fine-tuning) and layer {least['layer']:.0f} least "
        f"({percent(least['relative'])})."
    )
    yield Statement(TOPIC, State.MEASURED, text, (), code="depth")


def _by_layer(drift: WeightDrift) -> pd.DataFrame:
    """Return a row for each block: the norm of its weights, the norm of their change, and the ratio of both."""
    inside = drift.groups[(drift.groups["layer"] > 0) & ~drift.groups["part"].isin(["final_norm", "other"])]
    squares = inside.assign(norm=inside["norm"] ** 2, change=inside["change"] ** 2)
    summed = squares.groupby("layer")[["norm", "change", "parameters"]].sum().reset_index()
    summed[["norm", "change"]] = summed[["norm", "change"]] ** 0.5
    return summed.assign(relative=summed["change"] / summed["norm"])


def _spectral(drift: WeightDrift) -> pd.DataFrame:
    return (
        drift.tensors.dropna(subset=["effective_rank"]) if "effective_rank" in drift.tensors else drift.tensors.iloc[:0]
    )


def _shape(drift: WeightDrift) -> Iterable[Statement]:
    """State in how many directions the change of a matrix lies, by its effective rank and its stable rank."""
    rows = _spectral(drift)
    if rows.empty:
        return
    ratio = rows["effective_rank"] / rows["random_rank"]
    text = (
        f"The change of a weight matrix has an effective rank of {rows['effective_rank'].median():.0f} and a stable "
        f"rank of {rows['stable_rank'].median():.0f} (medians over {count(len(rows), 'matrix')}). The effective rank "
        f"is {percent(ratio.median())} of that of a random change of the same shape (median over the matrices; range "
        f"{percent(ratio.min())} to {percent(ratio.max())})."
    )
    yield Statement(TOPIC, State.MEASURED, text, (), code="shape")


def _direction(drift: WeightDrift) -> Iterable[Statement]:
    """State whether the change of a matrix lies in directions in which the matrix was already large before."""
    rows = _spectral(drift)
    if rows.empty or "amplification_random" not in rows:  # a study of before they were measured in the same directions
        return
    rows = rows[np.isfinite(rows["amplification"].astype(float))]
    if rows.empty:
        return
    r, alignment = int(rows["directions"].max()), rows["alignment"]
    text = (
        f"The first {r} singular directions of the change of a matrix have {percent(rows['held'].median())} of the "
        "squared norm of the change (median over the matrices). In these directions, the norm of the original "
        f"matrix is {alignment.median():.2f} times its norm in random directions (median over the matrices; range "
        f"{alignment.min():.2f} to {alignment.max():.2f}; 1 would mean no relation). In the same directions, the norm "
        f"of the change is {rows['amplification'].median():.2f} times that of the original matrix (amplification). The "
        f"norm of the change is {rows['amplification_random'].median():.2f} times the norm of the original matrix in "
        "random directions (both multiples are medians over the matrices)."
    )
    if (rows["effective_rank"] / rows["random_rank"]).median() < LOW_RANK:
        text += (
            " The input directions of a LoRA update start at random, so these two multiples tend to be close to one "
            "another."
        )
    yield Statement(TOPIC, State.MEASURED, text, (), code="direction")


def _intruders(drift: WeightDrift) -> Iterable[Statement]:
    """State how many of the largest singular vectors after fine-tuning resemble none before (intruder dimensions)."""
    rows = drift.tensors.dropna(subset=["examined"]) if "examined" in drift.tensors else drift.tensors.iloc[:0]
    if rows.empty:
        return
    examined, new, random = (int(rows[name].sum()) for name in ("examined", "intruders", "intruders_random"))
    several = count(int((rows["intruders"] > 0).sum()), "matrix")
    text = (
        f"Intruder dimensions: {new:,} of the {examined:,} largest singular vectors after fine-tuning "
        f"({percent(new / examined)}, in {several}) are new. A new vector has a cosine below "
        f"{rows['below'].max():.1f} with every singular vector before fine-tuning. Random changes of equal size would "
        f"give {random:,} new vectors ({percent(random / examined)}). At most {int(rows['examined'].max())} vectors "
        "of each matrix are examined."
    )
    yield Statement(TOPIC, State.MEASURED, text, (), code="intruders")


def _norm(values: "pd.Series[Any]") -> float:
    return float(np.sqrt((values.astype(float) ** 2).sum()))
