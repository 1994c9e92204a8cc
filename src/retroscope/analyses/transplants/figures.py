"""Figure of retrieval after blocks of one model are transplanted into the other."""

import altair as alt
import pandas as pd

from retroscope.analyses.transplants.result import TransplantEffects
from retroscope.surgery.transplant import GRAFTED, RESTORED
from retroscope.typesetting.charts.curves import Selector, choosing, curves, facets
from retroscope.typesetting.charts.figure import Figure

PANELS = {RESTORED: "retriever, weights restored", GRAFTED: "backbone, weights grafted"}


def transplant_figures(f: TransplantEffects) -> tuple[Figure, ...]:
    """Draw retrieval by transplanted block. Return no figure if only parts or all weights were transplanted."""
    return (_depth(f),) if f.table()["kind"].isin(["block", "top", "bottom"]).any() else ()


def _depth(f: TransplantEffects) -> Figure:
    """Draw the headline measure with one transplanted block, and with the first or last k blocks, in each direction."""
    names = {"block": "one block", "top": "from the top", "bottom": "from the bottom"}
    table = f.table()
    table = table[(table["measure"] == f.measures[0]) & table["kind"].isin(list(names))]
    frame = table.assign(
        series=table["kind"].map(names),
        line=table["kind"].map(names),
        value=table["score"],
        panel=table["direction"].map(PANELS),
        blocks=table["number"].astype(int),
    )
    ends = table.drop_duplicates("direction").assign(series="intact", line="intact")
    ends = ends.assign(panel=ends["direction"].map(PANELS))
    level = [
        ends.assign(value=ends["intact"], low=ends["intact"], high=ends["intact"], blocks=at) for at in (1, f.n_blocks)
    ]
    columns = ["panel", "blocks", "series", "line", "value", "low", "high"]
    shown = pd.concat([frame, *level], ignore_index=True)[columns]
    x = alt.X("blocks:O", title="block, or number of blocks", axis=alt.Axis(labelAngle=0, labelOverlap="parity"))
    panel = curves(x, shown, alt.Y("value:Q", title=f.measures[0], scale=alt.Scale(zero=True)), at="blocks")
    panels = list(dict.fromkeys(shown["panel"]))
    return Figure(
        "transplants",
        f"{f.measures[0]} with transplanted blocks",
        "The curves differ in which weights are transplanted. One block: only the block at that position, or the group "
        "of blocks that ends with this block. From the top: the last k blocks and the final norm, for k on the axis. "
        "From the bottom: the embeddings and the first k blocks. Intact: the receiving model before any transplant. "
        "Bands are confidence intervals over queries.",
        f"{f.measures[0]} of hybrids by the transplanted block, or by the number of transplanted blocks",
        choosing(panel, shown, [Selector("panel", "hybrid", panels[0])]),
        facets(panel, shown, "panel", panels, columns=2),
    )
