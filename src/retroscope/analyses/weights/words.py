"""Statements about the drift of weights. Drift is described, not tested: weights are not a sample of a population."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from retroscope.analyses.weights.result import WeightResult
from retroscope.drift.result import CHANGED, COMPARED, ONLY_AFTER, ONLY_BEFORE, RESHAPED, ROUNDED, WeightDrift
from retroscope.numbers import count, percent
from retroscope.typesetting.statements import Estimate, Kind, State, Statement

TOPIC = "weights"
NOT_COMPARED = {  # status -> how it is reported
    ONLY_BEFORE: "only before",
    ONLY_AFTER: "only after",
    RESHAPED: "of another shape after, not compared",
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
    """Return the statements of every tower. They name the tower if both towers have their own weights."""
    if len(result.by_tower) == 1:
        return tuple(s for drift in result.by_tower.values() for s in weight_statements(drift))
    return tuple(
        replace(s, tied=f"{tower.capitalize()} tower: {s.tied}")
        for tower, drift in result.by_tower.items()
        for s in weight_statements(drift)
    )


def weight_statements(drift: WeightDrift) -> tuple[Statement, ...]:
    """Return every statement about the weights of one tower, from general to specific."""
    rules = (_not_compared, _how_much, _where, _depth, _shape, _direction, _intruders)
    broken = drift.tensors.loc[
        np.isinf(drift.tensors["change"].astype(float)) | _without_number(drift), "name"
    ].tolist()
    if broken:
        text = f"NO NUMBERS: {count(len(broken), 'tensor')} with values that are not finite; the first is {broken[0]}."
        return (*_not_compared(drift), Statement(TOPIC, State.FAILED, text, (), code="not_finite"))
    return tuple(s for rule in rules for s in rule(drift))


def _without_number(drift: WeightDrift) -> "pd.Series[bool]":
    """Mark the compared tensors whose change has no finite size."""
    return drift.tensors["status"].isin(COMPARED) & drift.tensors["change"].isna()


def _not_compared(drift: WeightDrift) -> Iterable[Statement]:
    for status, what in NOT_COMPARED.items():
        names = drift.tensors.loc[drift.tensors["status"] == status, "name"].tolist()
        if names:
            text = f"{count(len(names), 'tensor')} {what}: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}."
            yield Statement(TOPIC, State.MEASURED, text, (), code="not_compared", caution=True)


def _how_much(drift: WeightDrift) -> Iterable[Statement]:
    compared = drift.tensors[drift.tensors["status"].isin(COMPARED)]
    moved = compared[compared["status"] == CHANGED]
    rounded = int((compared["status"] == ROUNDED).sum())
    apart = f" {count(rounded, 'tensor')} differ only by the rounding of their number format." if rounded else ""
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
        f"{len(moved):,} of {count(len(compared), 'tensor')} changed, with {weights} of the weights.{apart} The "
        f"Frobenius norm of the change is {size} of the norm of the weights before."
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
        place = "" if of == 1 else f"{len(rows)} of {of} layers, most in layer {top['layer']}: "
        parts.append(f"{PART_NAMES[str(part)]} ({place}{percent(top['relative'])})")
    text = f"Changed: {'; '.join(parts)}."
    still = [PART_NAMES[p] for p in dict.fromkeys(drift.groups["part"]) if p not in set(changed["part"])]
    if still:
        text += f" Untouched: {', '.join(still)}."
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
        f"By depth: the blocks above layer {drift.n_blocks // 2} have {percent(share)} of the squared norm of the "
        f"change of all blocks (an even spread would give {percent(even)}). Relative to its own norm, layer "
        f"{most['layer']:.0f} changed most ({percent(most['relative'])}) and layer {least['layer']:.0f} least "
        f"({percent(least['relative'])})."
    )
    yield Statement(TOPIC, State.MEASURED, text, (), code="depth")


def _by_layer(drift: WeightDrift) -> pd.DataFrame:
    """Return a row for each block: the norms and the change of all of its parts together."""
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
    """State in how many directions the change of a matrix lies, by its effective and stable rank."""
    rows = _spectral(drift)
    if rows.empty:
        return
    ratio = rows["effective_rank"] / rows["random_rank"]
    text = (
        f"Directions: the change of a matrix has an effective rank of {rows['effective_rank'].median():.0f} and a "
        f"stable rank of {rows['stable_rank'].median():.0f} (medians of {count(len(rows), 'matrix')}). The effective "
        f"rank is {percent(ratio.median())} of that of a random change of the same shape (median; "
        f"{percent(ratio.min())} to {percent(ratio.max())})."
    )
    yield Statement(TOPIC, State.MEASURED, text, (), code="shape")


def _direction(drift: WeightDrift) -> Iterable[Statement]:
    """State whether the change lies in directions that were already large in the matrices before."""
    rows = _spectral(drift)
    if rows.empty or "amplification_random" not in rows:  # a study of before they were measured in the same directions
        return
    rows = rows[np.isfinite(rows["amplification"].astype(float))]
    if rows.empty:
        return
    r, alignment = int(rows["directions"].max()), rows["alignment"]
    text = (
        f"The first {r} singular directions of the change of a matrix have {percent(rows['held'].median())} of its "
        f"squared norm. In these directions, the matrix before was already {alignment.median():.2f} times as large as "
        f"in random directions (median; {alignment.min():.2f} to {alignment.max():.2f}; 1: unrelated). The size of "
        f"the change in these directions is {rows['amplification'].median():.2f} times that of the matrix before, and "
        f"{rows['amplification_random'].median():.2f} times in random directions (amplification, medians)."
    )
    if (rows["effective_rank"] / rows["random_rank"]).median() < LOW_RANK:
        text += (
            " The input directions of a LoRA update start at random, which keeps these two values close to one another."
        )
    yield Statement(TOPIC, State.MEASURED, text, (), code="direction")


def _intruders(drift: WeightDrift) -> Iterable[Statement]:
    """State how many large directions of the matrices after resemble none before (intruder dimensions)."""
    rows = drift.tensors.dropna(subset=["examined"]) if "examined" in drift.tensors else drift.tensors.iloc[:0]
    if rows.empty:
        return
    examined, intruders, random = (int(rows[name].sum()) for name in ("examined", "intruders", "intruders_random"))
    several = count(int((rows["intruders"] > 0).sum()), "matrix")
    text = (
        f"Intruder dimensions: {intruders:,} of the {examined:,} largest singular vectors after "
        f"({int(rows['examined'].max())} for each matrix) resemble none before: their cosine with every singular "
        f"vector before is below {rows['below'].max():.1f}. These are {percent(intruders / examined)}, in {several}; "
        f"random changes of equal size would give {random:,} ({percent(random / examined)})."
    )
    yield Statement(TOPIC, State.MEASURED, text, (), code="intruders")


def _norm(values: "pd.Series[Any]") -> float:
    return float(np.sqrt((values.astype(float) ** 2).sum()))
