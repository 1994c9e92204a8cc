"""What the weights say: what changed, where, in how many directions. Described, not tested: there is no sample."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from retroscope.analyses.weights.result import WeightFindings
from retroscope.typesetting.numbers import count, percent
from retroscope.typesetting.statements import ALARM, CAUTION, NOTE, Statement

TOPIC = "weights"
IDENTICAL, ROUNDED, CHANGED = "identical", "rounded", "changed"  # of a tensor's status
ELSEWHERE = {  # status -> what it means for a comparison
    "only before": "only before",
    "only after": "only after",
    "reshaped": "of another shape after, not compared",
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


def weight_statements(f: WeightFindings) -> tuple[Statement, ...]:
    """Every statement, the most general first."""
    rules = (_elsewhere, _how_much, _where, _depth, _shape, _direction, _intruders)
    broken = f.tensors.loc[np.isinf(f.tensors["change"].astype(float)) | _without_number(f), "name"].tolist()
    if broken:
        text = f"NO NUMBERS: {count(len(broken), 'tensor')} with values that are not finite, the first {broken[0]}."
        return (*_elsewhere(f), Statement(TOPIC, ALARM, text, ()))
    return tuple(s for rule in rules for s in rule(f))


def _without_number(f: WeightFindings) -> "pd.Series[bool]":
    """Compared, and still without a size."""
    return f.tensors["status"].isin([IDENTICAL, ROUNDED, CHANGED]) & f.tensors["change"].isna()


def _elsewhere(f: WeightFindings) -> Iterable[Statement]:
    for status, what in ELSEWHERE.items():
        names = f.tensors.loc[f.tensors["status"] == status, "name"].tolist()
        if names:
            text = f"{count(len(names), 'tensor')} {what}: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}."
            yield Statement(TOPIC, CAUTION, text, ())


def _how_much(f: WeightFindings) -> Iterable[Statement]:
    compared = f.tensors[f.tensors["status"].isin([IDENTICAL, ROUNDED, CHANGED])]
    moved = compared[compared["status"] == CHANGED]
    rounded = int((compared["status"] == ROUNDED).sum())
    apart = f" {count(rounded, 'tensor')} differ by the rounding of their number format alone." if rounded else ""
    if moved.empty:
        text = (
            f"NOTHING CHANGED: none of {count(len(compared), 'tensor')} differs.{apart} The same weights were given "
            "twice, or fine-tuning never reached the backbone."
        )
        yield Statement(TOPIC, ALARM, text, ())
        return
    weights = percent(moved["parameters"].sum() / compared["parameters"].sum())
    size = percent(_norm(compared["change"]) / _norm(compared["norm"]))
    text = (
        f"{len(moved):,} of {count(len(compared), 'tensor')} changed, with {weights} of the weights.{apart} "
        f"The change is {size} of all weights in size (|D| / |W|)."
    )
    yield Statement(TOPIC, NOTE, text, ())


def _where(f: WeightFindings) -> Iterable[Statement]:
    """Which parts changed, and which never did."""
    changed = f.groups[f.groups["changed"] > 0]
    if changed.empty:
        return
    said = []
    for part, rows in changed.groupby("part", sort=False):
        top = rows.loc[rows["relative"].idxmax()]
        of = int((f.groups["part"] == part).sum())
        place = "" if of == 1 else f"{len(rows)} of {of} layers, most in layer {top['layer']}: "
        said.append(f"{PART_NAMES[str(part)]} ({place}{percent(top['relative'])})")
    text = f"Changed: {'; '.join(said)}."
    still = [PART_NAMES[p] for p in dict.fromkeys(f.groups["part"]) if p not in set(changed["part"])]
    if still:
        text += f" Untouched: {', '.join(still)}."
    yield Statement(TOPIC, NOTE, text, ())


def _depth(f: WeightFindings) -> Iterable[Statement]:
    """Is the change in the upper or the lower blocks?"""
    layers = by_layer(f)
    if layers.empty or f.n_blocks < 2 or not layers["change"].any():
        return
    upper = layers["layer"] > f.n_blocks / 2
    share = float((layers.loc[upper, "change"] ** 2).sum() / (layers["change"] ** 2).sum())
    even = float(layers.loc[upper, "parameters"].sum() / layers["parameters"].sum())
    most, least = layers.loc[layers["relative"].idxmax()], layers.loc[layers["relative"].idxmin()]
    text = (
        f"By depth: the blocks above layer {f.n_blocks // 2} hold {percent(share)} of the squared change of all "
        f"blocks (an even spread would give {percent(even)}). Layer {most['layer']:.0f} moved most, "
        f"{percent(most['relative'])} of its size, layer {least['layer']:.0f} least, {percent(least['relative'])}."
    )
    yield Statement(TOPIC, NOTE, text, ())


def by_layer(f: WeightFindings) -> pd.DataFrame:
    """A row a block: its parts together."""
    inside = f.groups[(f.groups["layer"] > 0) & ~f.groups["part"].isin(["final_norm", "other"])]
    squares = inside.assign(norm=inside["norm"] ** 2, change=inside["change"] ** 2)
    summed = squares.groupby("layer")[["norm", "change", "parameters"]].sum().reset_index()
    summed[["norm", "change"]] = summed[["norm", "change"]] ** 0.5
    return summed.assign(relative=summed["change"] / summed["norm"])


def _spectral(f: WeightFindings) -> pd.DataFrame:
    return f.tensors.dropna(subset=["effective_rank"]) if "effective_rank" in f.tensors else f.tensors.iloc[:0]


def _shape(f: WeightFindings) -> Iterable[Statement]:
    """In how many directions does the change lie?"""
    rows = _spectral(f)
    if rows.empty:
        return
    ratio = rows["effective_rank"] / rows["random_rank"]
    text = (
        f"Directions: the change of a matrix has an effective rank of {rows['effective_rank'].median():.0f} and a "
        f"stable rank of {rows['stable_rank'].median():.0f} (medians of {count(len(rows), 'matrix')}); the effective "
        f"rank is {percent(ratio.median())} of what a random change of its shape has ({percent(ratio.min())} to "
        f"{percent(ratio.max())})."
    )
    yield Statement(TOPIC, NOTE, text, ())


def _direction(f: WeightFindings) -> Iterable[Statement]:
    """Does the change follow what the matrices already did?"""
    rows = _spectral(f)
    if rows.empty or "amplification_random" not in rows:  # a study of before they were measured in the same directions
        return
    rows = rows[np.isfinite(rows["amplification"].astype(float))]
    if rows.empty:
        return
    r, alignment = int(rows["directions"].max()), rows["alignment"]
    text = (
        f"In the first {r} directions of its change, which hold {percent(rows['held'].median())} of it (squared), a "
        f"matrix was already {alignment.median():.2f} times as large as in random directions (median; "
        f"{alignment.min():.2f} to {alignment.max():.2f}; 1: the change has nothing to do with it). There the change "
        f"is {rows['amplification'].median():.2f} times what was there; it would be "
        f"{rows['amplification_random'].median():.2f} times in random directions (amplification, medians)."
    )
    if (rows["effective_rank"] / rows["random_rank"]).median() < LOW_RANK:
        text += " The input directions of a LoRA update begin random, which keeps these two close to one another."
    yield Statement(TOPIC, NOTE, text, ())


def _intruders(f: WeightFindings) -> Iterable[Statement]:
    """Are there large directions after that were not there before?"""
    rows = f.tensors.dropna(subset=["examined"]) if "examined" in f.tensors else f.tensors.iloc[:0]
    if rows.empty:
        return
    examined, found, random = (int(rows[name].sum()) for name in ("examined", "intruders", "intruders_random"))
    several = count(int((rows["intruders"] > 0).sum()), "matrix")
    text = (
        f"Intruder dimensions: {found:,} of the {examined:,} largest singular vectors after "
        f"({int(rows['examined'].max())} a matrix, {several} with any) have a cosine below "
        f"{rows['below'].max():.1f} with every singular vector before, {percent(found / examined)}; "
        f"random changes of the same sizes bring {random:,} ({percent(random / examined)})."
    )
    yield Statement(TOPIC, NOTE, text, ())


def _norm(values: "pd.Series[Any]") -> float:
    return float(np.sqrt((values.astype(float) ** 2).sum()))
