"""Statement about the single blocks of groups of blocks that were split."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from retroscope.analyses.transplants.result import TransplantEffects
from retroscope.number_format import count, percent_interval, signed, tied_p
from retroscope.typesetting.effect_words import effect_limits, estimate_of, most_changed
from retroscope.typesetting.frames import alpha
from retroscope.typesetting.places import blocks_named
from retroscope.typesetting.statements import State, Statement
from retroscope.typesetting.subject import AFTER, BEFORE


def block_statements(f: TransplantEffects, direction: str, receiver: str) -> Iterator[Statement]:
    """State which single blocks of the significant groups have an effect, and which exceed random changes.

    Args:
        receiver: words for the model that receives the weights, e.g. "the retriever".
    """
    blocks = f.single_blocks
    if blocks is None:
        return
    rows = _headline(blocks.effects, f, direction)
    if rows.empty:
        return
    level = alpha(f.differences[direction])
    claimed = rows[rows["p_corrected"] < level]
    groups = " and ".join(blocks_named(name) for name in dict.fromkeys(rows["group"]))
    text = (
        f"Each block of {groups} was also {direction} alone, because the effect of its group is significant. "
        f"{f.measures[0]} changes significantly for {len(claimed)} of {count(len(rows), 'block')}: "
        f"{'; '.join(_effect(row) for _, row in rows.iterrows())}. The p-values are Holm-corrected over all blocks of "
        f"all groups.{_against_random(_headline(blocks.controls, f, direction), receiver)}"
    )
    largest = most_changed(rows, level).rename({"intact": BEFORE, "score": AFTER})
    name = f"change of {f.measures[0]} with {blocks_named(largest['transplant'])} {direction}"
    state = State.SIGNIFICANT if len(claimed) else State.NOT_SIGNIFICANT
    number = estimate_of(largest, name, f.collection)
    yield Statement(direction, state, text, (), code=f"{direction}.single_blocks", estimate=number)


def _headline(frame: pd.DataFrame, f: TransplantEffects, direction: str) -> pd.DataFrame:
    return frame[(frame["direction"] == direction) & (frame["measure"] == f.measures[0])]


def _effect(row: "pd.Series[Any]") -> str:
    share = percent_interval(row["share"], row["share_low"], row["share_high"])
    of_all = "" if pd.isna(row["share"]) else f", {share} of the total effect"
    tests = f"{signed(row['effect'])} {effect_limits(row)}, corrected {tied_p(row['p_corrected'])}"
    return f"{blocks_named(row['transplant'])} {tests}{of_all}"


def _against_random(rows: pd.DataFrame, receiver: str) -> str:
    """State which blocks have a larger effect than random changes, or nothing if that was not measured."""
    if rows.empty:
        return ""
    beats = [blocks_named(name) for name in rows.loc[rows["beats"], "transplant"]]
    return (
        f" The effect is significantly larger than that of random changes of equal size in {receiver} for "
        f"{len(beats)} of {count(len(rows), 'block')}{': ' + ', '.join(beats) if beats else ''}."
    )
