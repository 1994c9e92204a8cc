"""Statements about activation patching."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from retroscope.analyses.patching.result import PatchingResult, SidePatches
from retroscope.number_format import count, interval, percent, percent_interval, signed, tied_p
from retroscope.typesetting.frames import alpha
from retroscope.typesetting.statements import Estimate, Kind, State, Statement
from retroscope.typesetting.subject import MODEL

TOPIC = "patching"
SHOWN = 2  # components that a sentence names
UNIT = "SD of the loss of margin by the corruptions"
CORRUPTED = {
    "swapped": "the rarest word swapped",
    "removed": "the rarest word removed",
    "order": "the words in another order",
    "negated": "the query negated",
}
TOKENS = {"changed": "at the changed tokens", "rest": "at the other tokens", "all": "at all tokens"}


def patching_statements(result: PatchingResult) -> tuple[Statement, ...]:
    """State, for each patched model, how much margin corrupted queries lose, and which activations recover it."""
    return tuple(s for side, patches in result.sides.items() for rule in RULES for s in rule(result, side, patches))


def _opening(side: str, rest: str) -> str:
    """Return a sentence about a model: "Before fine-tuning, REST", or "REST" with a capital for a single model."""
    return f"{rest[0].upper()}{rest[1:]}" if side == MODEL else f"{side.capitalize()} fine-tuning, {rest}"


def _totals(result: PatchingResult, side: str, one: SidePatches) -> Iterator[Statement]:
    """State by how much each corruption of the query lowers the margin."""
    level = 1 - result.level
    changes = "; ".join(
        f"{CORRUPTED[row['corruption']]} {signed(-row['clean_less_corrupted'])} SD "
        f"{interval(-row['high'], -row['low'], effect=True)}, corrected {tied_p(row['p'])}"
        for _, row in one.totals.iterrows()
    )
    shown = one.totals[one.totals["p"] < level]
    largest = one.totals.loc[one.totals["clean_less_corrupted"].abs().idxmax()]
    number = Estimate(
        f"change of the margin with {CORRUPTED[largest['corruption']]} (in {UNIT})", -largest["clean_less_corrupted"],
        -largest["high"], -largest["low"], largest["p"], int(largest["n"]),
    )  # fmt: skip
    none = "" if len(shown) else " No change is significant, so there is no loss to recover."
    text = f"{_opening(side, 'corrupting the query changes the margin')} (in {UNIT}): {changes}.{none}"
    state = State.SIGNIFICANT if len(shown) else State.NOT_SIGNIFICANT
    yield Statement(TOPIC, state, text, (side,), code=f"corrupted.{side}", estimate=number)


def _carrying(result: PatchingResult, side: str, one: SidePatches) -> Iterator[Statement]:
    """State which components recover the margin significantly, for each corruption and choice of tokens."""
    for (kind, tokens), rows in one.table.groupby(["corruption", "tokens"], sort=False):
        if rows["share"].isna().all():
            continue  # a loss that is not significant has no shares
        carrying = rows[rows["carries"]].sort_values("share", ascending=False)
        shown = carrying if len(carrying) else rows.sort_values("share", ascending=False)
        queries = _opening(side, f"queries with {CORRUPTED[str(kind)]}")
        text = (
            f"{queries}: for {len(carrying)} of {count(len(rows), 'component')}, replacing the activation "
            f"{TOKENS[str(tokens)]} by that of the clean query recovers significantly more of the lost margin than a "
            "random change of equal size does. Largest shares of the lost margin that are recovered: "
            f"{_by_kind(shown)}."
        )
        state = State.SIGNIFICANT if len(carrying) else State.NOT_SIGNIFICANT
        number = _estimate(shown.iloc[0])
        code = f"carry.{side}.{kind}.{tokens}"
        yield Statement(TOPIC, state, text, (side,), code=code, estimate=number, figure="patching")


def _by_kind(rows: pd.DataFrame) -> str:
    """Name, for each kind of component, those that recover the largest share of the margin."""
    best = [some.head(SHOWN) for _, some in rows.groupby("kind", sort=False)]
    return "; ".join(_component(row) for some in best for _, row in some.iterrows())


def _component(row: "pd.Series[Any]") -> str:
    return f"{row['component']}: {percent_interval(row['share'], row['share_low'], row['share_high'])}"


def _estimate(row: "pd.Series[Any]") -> Estimate:
    return Estimate(
        f"of the lost margin recovered by {row['component']}", row["share"], row["share_low"], row["share_high"],
        row["p"], int(row["n"]), Kind.SHARE,
    )  # fmt: skip


def _across(result: PatchingResult, side: str, one: SidePatches) -> Iterator[Statement]:
    """State whether the other model's activations recover as much as the receiving model's own."""
    if one.against_own is None:
        return
    level = alpha(one.against_own)
    carrying = one.carrying
    carrying = carrying[carrying["kind"] != "block"]  # a block's state is not in the other's terms
    if carrying.empty:
        return
    beyond = carrying["other_less_own"] * np.sign(carrying["total"])
    differ = carrying["p_other"] < level
    less, more = int((differ & (beyond < 0)).sum()), int((differ & (beyond > 0)).sum())
    carried = int(carrying["other_carries"].sum())
    named = count(len(carrying), "head or FFN").replace("head or FFNs", "heads or FFNs")
    text = (
        f"Patched into {one.name}, the clean activations of {named} of {one.name} itself significantly recover the "
        f"margin. If the activations of {one.donor} are patched instead (clean minus corrupted query), {carried} of "
        "these components recover significantly more than a random change of equal size. Compared with the "
        f"activations of {one.name} itself, those of {one.donor} recover less at {less} components, recover more at "
        f"{more}, and do not differ significantly at {len(carrying) - less - more}. Share of the lost margin that is "
        f"recovered: {'; '.join(_exchanged(row) for _, row in carrying.head(SHOWN).iterrows())}."
    )
    row = carrying.iloc[0]
    number = Estimate(
        f"margin recovered by {row['component']} of the other model minus that by the model's own (in {UNIT})",
        row["other_less_own"], row["other_low"], row["other_high"], row["p_other"], int(row["n"]),
    )  # fmt: skip
    state = State.SIGNIFICANT if less + more else State.NOT_SIGNIFICANT
    yield Statement(TOPIC, state, text, code=f"across.{side}", estimate=number, figure="patching")


def _exchanged(row: "pd.Series[Any]") -> str:
    """Describe the shares recovered by the other model's activation, the model's own, and exchanging only the model."""
    other, exchange = (
        percent_interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
        for name in ("other_share", "exchange_share")
    )
    return (
        f"{row['component']} ({row['corruption']}, {row['tokens']}): {other} with the other model's activation, "
        f"{percent(row['share'])} with the model's own activation, and {exchange} with the other model's activation "
        "for the corrupted query"
    )


def _random(result: PatchingResult, side: str, one: SidePatches) -> Iterator[Statement]:
    """State how much of the margin random changes of equal size recover."""
    if one.random.empty:
        return
    mean = float(one.random["share"].mean())
    shares = "; ".join(
        f"{row['donor']}, {row['corruption']}, {row['tokens']}: {percent(row['share'])} "
        f"(largest {percent(row['largest'])})"
        for _, row in one.random.iterrows()
    )
    recovered = _opening(side, "random changes of equal size recover these shares of the lost margin")
    text = f"{recovered} (means over components, for each donor, corruption and choice of tokens): {shares}."
    control = "random patches" + (f" ({side})" if side != MODEL else "")
    number = Estimate("of the lost margin recovered by random changes", mean, kind=Kind.SHARE)
    yield Statement(TOPIC, State.MEASURED, text, (side,), code=f"random.{side}", estimate=number, control=control)


RULES = (_totals, _carrying, _across, _random)
