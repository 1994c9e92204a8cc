"""Figure and table of transplants."""

import altair as alt
import pandas as pd

from retroscope.reporting.curves import curves, facets
from retroscope.reporting.figure import Figure
from retroscope.reporting.frames import correction
from retroscope.reporting.latex import PaperTable
from retroscope.reporting.numbers import p_value, score, signed
from retroscope.reporting.transplant_findings import GRAFT, REWIND, TransplantFindings
from retroscope.reporting.words import effect_limits

PANELS = {REWIND: "retriever, weights put back", GRAFT: "backbone, weights put in"}


def transplant_figures(f: TransplantFindings) -> list[Figure]:
    """The figure by depth, where blocks were counted."""
    return [_depth(f)] if f.table()["kind"].isin(["block", "top", "bottom"]).any() else []


def _depth(f: TransplantFindings) -> Figure:
    """The headline measure by block, alone and cumulative, in both directions."""
    names = {"block": "one block", "top": "from the top", "bottom": "from the bottom"}
    found = f.table()
    found = found[(found["measure"] == f.measures[0]) & found["kind"].isin(list(names))]
    frame = found.assign(
        series=found["kind"].map(names),
        line=found["kind"].map(names),
        value=found["score"],
        panel=found["direction"].map(PANELS),
        blocks=found["number"].astype(int),
    )
    ends = found.drop_duplicates("direction").assign(series="intact", line="intact")
    ends = ends.assign(panel=ends["direction"].map(PANELS))
    level = [
        ends.assign(value=ends["intact"], low=ends["intact"], high=ends["intact"], blocks=at) for at in (1, f.n_blocks)
    ]
    columns = ["panel", "blocks", "series", "line", "value", "low", "high"]
    shown = pd.concat([frame, *level], ignore_index=True)[columns]
    x = alt.X("blocks:O", title="block, or number of blocks", axis=alt.Axis(labelAngle=0, labelOverlap="parity"))
    panel = curves(x, shown, alt.Y("value:Q", title=f.measures[0], scale=alt.Scale(zero=True)), at="blocks")
    chart = facets(panel, shown, "panel", list(dict.fromkeys(shown["panel"])), columns=2)
    return Figure(
        "transplants",
        f"{f.measures[0]} with transplanted blocks",
        "One block, or group of blocks that ends there: these alone are the other model's. From the top: the last k "
        "blocks and the final norm are. From the bottom: the embeddings and the first k blocks are. Bands are "
        "intervals over queries.",
        f"{f.measures[0]} of hybrids against the number of transplanted blocks",
        chart,
    )


def transplant_tables(f: TransplantFindings) -> dict[str, PaperTable]:
    """Every transplant by the headline measure."""
    found = f.table()
    found = found[found["measure"] == f.measures[0]]
    corrected = f"p ({correction(next(iter(f.differences.values())))})"
    frame = pd.DataFrame(
        {
            "direction": found["direction"],
            "transplant": found["transplant"],
            f.measures[0]: [score(v) for v in found["score"]],
            "effect": [signed(v) for v in found["effect"]],
            "interval": [effect_limits(r) for _, r in found.iterrows()],
            corrected: [p_value(p).removeprefix("p ").removeprefix("= ") for p in found["p_corrected"]],
        }
    )
    note = (
        "rewind: the backbone's weights in the retriever; graft: the converse. Effects against the intact receiver, "
        "with intervals that are not corrected for their number; p is, over all transplants of a direction."
    )
    return {"transplants": PaperTable(frame, f.title, note, (f.measures[0], "effect", "interval", corrected))}
