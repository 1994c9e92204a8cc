"""Tables of activation patching: the margin that corruptions cost, and the margin that components recover."""

from typing import Any

import pandas as pd

from retroscope.analyses.patching.result import PatchingResult, SidePatches
from retroscope.number_format import interval, p_number, percent_interval, signed
from retroscope.typesetting.latex import PaperTable

MOST = 40  # rows of the page's table; the files have all


def patching_tables(result: PatchingResult) -> dict[str, PaperTable]:
    """Return two tables for every patched model: the margin that corruptions cost, and what components recover."""
    tables = {}
    for side, patches in result.sides.items():
        tables[f"patching_{side}"] = _patches(patches)
        tables[f"patching_totals_{side}"] = _totals(patches)
    return tables


def _patches(one: SidePatches) -> PaperTable:
    table = one.table.sort_values(["carries", "share"], ascending=False).head(MOST)
    frame = pd.DataFrame(
        {
            "corruption": table["corruption"],
            "tokens": table["tokens"],
            "component": table["component"],
            "share": [_share(row, "share") for _, row in table.iterrows()],
            "own": [signed(v) for v in table["own"]],
            "random": [signed(v) for v in table["random"]],
            "p (own, random)": [p_number(p) for p in table["p"]],
            "other's share": [_share(row, "other_share") for _, row in table.iterrows()],
            "exchange": [_share(row, "exchange_share") for _, row in table.iterrows()],
            "p (other, random)": [p_number(p) for p in table["p_other_beyond"]],
            "p (other, own)": [p_number(p) for p in table["p_other"]],
        }
    )
    note = (
        "Share: share of the lost margin that the model's own clean activation recovers, with Fieller's interval. Own "
        "and random: margin recovered by the model's own clean activation and by a random change of equal size, in "
        "standard deviations of the loss of margin. Other's share: share recovered by the other model's clean "
        "activation, minus the share recovered by its activation for the corrupted query. Exchange: share recovered by "
        "the other model's activation for the corrupted query, that is, by exchanging only the model. p is corrected "
        f"over all rows. The table shows the {MOST} components that recover most; the files have all components."
    )
    return PaperTable(frame, f"Activations patched into {one.name}", note, tuple(frame.columns[3:]))


def _totals(one: SidePatches) -> PaperTable:
    totals = one.totals
    frame = pd.DataFrame(
        {
            "corruption": totals["corruption"],
            "margin: clean - corrupted (SD)": [signed(v) for v in totals["clean_less_corrupted"]],
            "interval": [interval(r["low"], r["high"], effect=True) for _, r in totals.iterrows()],
            "p": [p_number(p) for p in totals["p"]],
            "queries": totals["n"].astype(int),
        }
    )
    note = "SD: standard deviation of this loss over queries and corruptions. p is corrected over the corruptions."
    return PaperTable(frame, f"Loss of margin by corrupting the query, in {one.name}", note, tuple(frame.columns[1:]))


def _share(row: "pd.Series[Any]", name: str) -> str:
    return percent_interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
