"""Statements about attention heads."""

import math
from collections.abc import Iterator

import pandas as pd

from retroscope.analyses.heads.result import HeadResult, SetEffect, SideHeads
from retroscope.number_format import count, interval, score, signed, tied_p
from retroscope.statistics import Difference
from retroscope.typesetting.effect_words import effect_limits, most_changed
from retroscope.typesetting.frames import alpha, rows
from retroscope.typesetting.statements import Estimate, Kind, State, Statement
from retroscope.typesetting.subject import MODEL

TOPIC = "heads"
SHOWN = 4  # heads that a sentence names
WEAK = 0.8  # correlation of estimates with exact changes below which they rank heads poorly
UNIT = "SD of the intact margin"


def head_statements(result: HeadResult) -> tuple[Statement, ...]:
    """State which attention heads each model's margin and retrieval depend on, then what fine-tuning changed."""
    of_sides = [s for side, model in result.sides.items() for rule in RULES for s in rule(result, side, model)]
    return (*of_sides, *_change(result), *_shift(result))


def _at(side: str) -> str:
    """Return the end of a phrase about a model, such as " before fine-tuning", or "" for a single model."""
    return "" if side == MODEL else f" {side} fine-tuning"


def _carrying(result: HeadResult, side: str, one: SideHeads) -> Iterator[Statement]:
    """State which heads carry the margin: those whose ablation lowers it significantly, and more than control heads."""
    level = 1 - result.level
    tested = one.table[one.table["role"] == "top"]
    carrying = one.carrying
    named = carrying if len(carrying) else tested.sort_values("effect")
    effects = "; ".join(_head(row) for _, row in named.head(SHOWN).iterrows())
    more = f"; and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    top = named.iloc[0]
    number = Estimate(
        f"effect of fixing head {top['head']} on the margin (in {UNIT})", top["effect"], top["ci_low"], top["ci_high"],
        top["p_corrected"],
    )  # fmt: skip
    text = (
        f"Attention heads{_at(side)} ({' and '.join(result.towers)} tower): {len(carrying)} of "
        f"{count(len(tested), 'top head')} carry the margin. A head carries the margin if fixing it at its mean lowers "
        "the margin, and lowers it by more than fixing random heads of its layer (both corrected p below "
        f"{level:.2g}). The largest changes of the margin (in {UNIT}): {effects}{more}."
    )
    state = State.SIGNIFICANT if len(carrying) else State.NOT_SIGNIFICANT
    yield Statement(TOPIC, state, text, (side,), code=f"carry.{side}", estimate=number, figure="head_estimates")


def _head(row: "pd.Series[float]") -> str:
    beyond = "no other head of its layer was measured"
    if not math.isnan(row["beyond"]):
        more = f"{signed(row['beyond'])} SD beyond random heads of its layer"
        beyond = f"{more}, corrected {tied_p(row['p_beyond'])}"
    return f"head {row['head']} {signed(row['effect'])} SD {effect_limits(row)} ({beyond})"


def _retrieval(result: HeadResult, side: str, one: SideHeads) -> Iterator[Statement]:
    """State how much retrieval falls if all top heads are fixed, compared with random heads."""
    first = one.sets[0]
    holds = first.p < 1 - result.level and first.beyond < 0
    number = Estimate(
        f"change of {first.measure} with the top heads fixed, beyond random heads", first.beyond, first.low, first.high,
        first.p, first.queries,
    )  # fmt: skip
    text = (
        f"Retrieval{_at(side)}: fixing the {count(first.heads[0], 'top head')} together changes {first.measure} from "
        f"{score(first.intact)} to {score(first.top)}. With random heads of the same layers fixed, {first.measure} is "
        f"{score(first.random)} {interval(first.lowest, first.highest)} (mean, lowest and highest random set). The "
        f"difference is {_set_tests(first)}."
    )
    state = State.SIGNIFICANT if holds else State.NOT_SIGNIFICANT
    control = "random heads" + (f" ({side})" if side != MODEL else "")
    yield Statement(TOPIC, state, text, (side,), code=f"retrieval.{side}", estimate=number, control=control)


def _set_tests(effect: SetEffect) -> str:
    limits = interval(effect.low, effect.high, effect=True)
    tests = (
        f"{tied_p(effect.p_queries)} by the test over queries, {tied_p(effect.p_draws)} by the test over random sets"
    )
    few = f" (random sets have {effect.heads[1]} heads)" if effect.heads[1] < effect.heads[0] else ""
    return f"{signed(effect.beyond)} {limits}, {tests}{few}"


def _error(result: HeadResult, side: str, one: SideHeads) -> Iterator[Statement]:
    """State how close the first-order estimates are to the exact effects."""
    parts = []
    for name, error in one.errors.items():
        correlation = "" if math.isnan(error.correlation) else f"correlation {error.correlation:.2f}, "
        parts.append(
            f"{name} ({count(error.heads, 'head')}): {correlation}largest difference {error.largest:.3f} SD, largest "
            f"exact change {error.largest_effect:.3f} SD"
        )
    every = one.errors["all"]
    weak = every.correlation < WEAK
    text = (
        f"First-order estimates of the change of the margin{_at(side)}, compared with exact ablation of the same "
        f"heads: {'; '.join(parts)}."
    )
    text += " The estimates rank these heads poorly, so rely on the exact ablations." if weak else ""
    number = Estimate("correlation of estimates with exact changes", every.correlation, kind=Kind.SCORE)
    yield Statement(
        TOPIC, State.MEASURED, text, (side,), code=f"estimates.{side}", estimate=number, caution=weak,
        figure="head_errors",
    )  # fmt: skip


def _eager(result: HeadResult, side: str, one: SideHeads) -> Iterator[Statement]:
    """State by how much vectors differ between the eager implementation of attention and the usual one."""
    if one.eager:
        text = (
            f"The attention weights{_at(side)} come from the eager implementation of attention. The largest relative "
            f"difference of its vectors from those of the usual implementation is {one.eager['gap']:.1g} (allowed: "
            f"{one.eager['limit']:.1g})."
        )
        yield Statement(TOPIC, State.MEASURED, text, (side,), code=f"eager.{side}")


def _change(result: HeadResult) -> Iterator[Statement]:
    """State for which heads fine-tuning changed the effect on the margin, and how far both models' estimates agree."""
    if result.change is None:
        return
    table = rows(result.change)
    changed = table[table["p_corrected"] < alpha(result.change)].sort_values("effect")
    row = most_changed(table, alpha(result.change))
    shown = changed if len(changed) else table.loc[[row.name]]
    changes = "; ".join(_changed(head) for _, head in shown.head(SHOWN).iterrows())
    number = Estimate(
        f"effect of head {row['head']} on the margin, after minus before fine-tuning (in {UNIT})", row["effect"],
        row["ci_low"], row["ci_high"], row["p_corrected"], int(row["n"]), before=row["before"], after=row["after"],
    )  # fmt: skip
    alike = "" if math.isnan(result.agreement) else (
        " Over all heads, the first-order estimates before and after have a rank correlation of "
        f"{result.agreement:.2f}."
    )  # fmt: skip
    text = (
        f"Fine-tuning significantly changed the effect of {len(changed)} of {count(len(table), 'head')} on the margin "
        f"(heads that were ablated exactly in both models). The largest changes: {changes}.{alike}"
    )
    state = State.SIGNIFICANT if len(changed) else State.NOT_SIGNIFICANT
    yield Statement(TOPIC, state, text, code="change", estimate=number, figure="head_estimates")


def _changed(row: "pd.Series[float]") -> str:
    sides = f"from {signed(row['before'])} to {signed(row['after'])} SD"
    return f"head {row['head']} {sides} (corrected {tied_p(row['p_corrected'])})"


def _shift(result: HeadResult) -> Iterator[Statement]:
    """State for which heads and kinds of tokens fine-tuning changed the share of attention."""
    if result.shift is None:
        return
    table = rows(result.shift)
    moved = table[table["p_corrected"] < alpha(result.shift)]
    row = most_changed(table, alpha(result.shift))
    shares = "; ".join(_attends(share) for _, share in _largest(result.shift).iterrows())
    heads = count(table["head"].nunique(), "head")
    text = (
        f"Attention of {heads} (those whose effect changed significantly or, if there are none, the top heads) to each "
        f"kind of token: {len(moved)} of {count(len(table), 'share')} of attention changed significantly with "
        f"fine-tuning. The share of attention changed most for {shares}."
    )
    number = Estimate(
        f"change of the share of attention of head {row['head']} to {row['kind']} tokens", row["effect"], row["ci_low"],
        row["ci_high"], row["p_corrected"], int(row["n"]), before=row["before"], after=row["after"],
    )  # fmt: skip
    state = State.SIGNIFICANT if len(moved) else State.NOT_SIGNIFICANT
    yield Statement(TOPIC, state, text, code="attention", estimate=number)


def _largest(shift: Difference) -> pd.DataFrame:
    table = rows(shift)
    moved = table[table["p_corrected"] < alpha(shift)]
    candidates = moved if len(moved) else table
    return candidates.loc[candidates["effect"].abs().sort_values(ascending=False).index].head(SHOWN)


def _attends(row: "pd.Series[float]") -> str:
    return (
        f"head {row['head']} to {row['kind']} tokens, from {row['before']:.2f} to {row['after']:.2f} "
        f"(corrected {tied_p(row['p_corrected'])})"
    )


RULES = (_carrying, _retrieval, _error, _eager)
