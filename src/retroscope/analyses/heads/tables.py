"""Tables of the effects of attention heads on the margin and on retrieval."""

import math

import pandas as pd

from retroscope.analyses.heads.result import HeadResult, SideHeads
from retroscope.number_format import MISSING, p_number, score, signed
from retroscope.typesetting.effect_tables import explained, printed_effects
from retroscope.typesetting.effect_words import effect_limits
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable


def head_tables(result: HeadResult) -> dict[str, PaperTable]:
    """Return tables of effects of heads on the margin, of retrieval with heads fixed, and of changes by fine-tuning."""
    tables = {}
    for side, heads in result.sides.items():
        tables[f"heads_{side}"] = _exact(heads)
        tables[f"head_retrieval_{side}"] = _retrieval(heads)
    if result.change is not None:
        printed = printed_effects(result.change, rows(result.change))
        printed.insert(0, "head", rows(result.change)["head"])
        caption = "Change of the margin when each head is fixed at its mean, in SD of the intact margin"
        tables["head_change"] = PaperTable(printed, caption, explained(result.change), tuple(printed.columns[1:]))
    if result.shift is not None:
        shifts = rows(result.shift)
        printed = printed_effects(result.shift, shifts)
        printed.insert(0, "kind", shifts["kind"])
        printed.insert(0, "head", shifts["head"])
        caption = "Share of the attention that goes to each kind of token"
        tables["head_attention"] = PaperTable(printed, caption, explained(result.shift), tuple(printed.columns[2:]))
    return tables


def _exact(one: SideHeads) -> PaperTable:
    table = one.table.sort_values("effect")
    frame = pd.DataFrame(
        {
            "head": table["head"],
            "role": table["role"],
            "first order": [signed(v) for v in table["estimate"]],
            "exact": [signed(v) for v in table["effect"]],
            "interval": [effect_limits(row) for _, row in table.iterrows()],
            "p": [p_number(p) for p in table["p_corrected"]],
            "beyond its layer": [_or_missing(v) for v in table["beyond"]],
            "p (beyond)": [p_number(p) for p in table["p_beyond"]],
            "carries": ["yes" if v else "" for v in table["carries"]],
        }
    )
    note = (
        "Change of the margin when the head is fixed at its mean, in standard deviations of the intact margin "
        f"({one.spread:.3g}). p is corrected over the heads. Beyond its layer: this change minus the mean change by "
        "control heads of the same layer. Control heads are drawn at random from the heads that are top heads in "
        "neither model."
    )
    numeric = tuple(frame.columns[2:8])
    return PaperTable(frame, f"Attention heads of {one.name}, each ablated alone", note, numeric)


def _retrieval(one: SideHeads) -> PaperTable:
    frame = pd.DataFrame(
        {
            "measure": [e.measure for e in one.sets],
            "intact": [score(e.intact) for e in one.sets],
            "top fixed": [score(e.top) for e in one.sets],
            "random fixed": [score(e.random) for e in one.sets],
            "difference": [signed(e.beyond) for e in one.sets],
            "p (queries)": [p_number(e.p_queries) for e in one.sets],
            "p (draws)": [p_number(e.p_draws) for e in one.sets],
            **{f"only {head}": [score(one.single.loc[i, e.measure]) for e in one.sets]
               for i, head in enumerate(one.single["head"])},
        }
    )  # fmt: skip
    note = (
        "Top fixed: score with all top heads fixed together. Random fixed: score with as many random heads of the same "
        "layers fixed. Difference: top fixed minus random fixed. Only: score with one top head fixed. p (queries): "
        "test of this difference. p (draws): test whether the top heads could be one more random set."
    )
    return PaperTable(frame, f"Retrieval of {one.name} with heads fixed", note, tuple(frame.columns[1:]))


def _or_missing(value: float) -> str:
    return MISSING if math.isnan(value) else signed(value)
