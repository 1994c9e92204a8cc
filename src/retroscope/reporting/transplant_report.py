"""The report of transplants: which parts of what fine-tuning changed does retrieval need?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from retroscope.reporting.curves import curves, facets
from retroscope.reporting.figure import Figure
from retroscope.reporting.figures import write_figures
from retroscope.reporting.files import write_whole
from retroscope.reporting.frames import alpha, correction, rows
from retroscope.reporting.latex import PaperTable
from retroscope.reporting.numbers import count, interval, p_value, score, signed
from retroscope.reporting.page import fill
from retroscope.reporting.statements import CHANGED, NO_EVIDENCE, NOTE, Statement
from retroscope.reporting.tables import write_frames
from retroscope.reporting.words import effect_limits
from retroscope.statistics import Difference

REWIND, GRAFT = "rewind", "graft"
COLUMNS = {"before": "intact", "after": "score", "after_low": "low", "after_high": "high"}
TOLD = ("direction", "transplant", "kind", "number", "measure", "intact", "score", "low", "high", "effect", "ci_low",
        "ci_high", "p", "p_corrected", "n")  # fmt: skip
SAID = {
    REWIND: ("the backbone's weights", "the retriever"),
    GRAFT: ("the retriever's weights", "the backbone"),
}
PANELS = {REWIND: "retriever, weights put back", GRAFT: "backbone, weights put in"}
PART_WORDS = {
    "attention": "attention",
    "ffn_in": "the FFN's first matrices",
    "ffn_out": "the FFN's last matrices",
    "norms": "the norms",
    "embeddings": "the embeddings",
}


@dataclass(frozen=True, eq=False)
class TransplantFindings:
    """Retrieval with hybrids of a backbone and its retriever.

    Attributes:
        n_blocks: of both.
        differences: "rewind", "graft" -> every hybrid against its intact receiver, over (transplant, measure).
        measures: the first is the headline.
        caveats: what a reader must know before any number.
    """

    before: str
    after: str
    collection: str
    n_blocks: int
    differences: Mapping[str, Difference]
    measures: tuple[str, ...]
    caveats: tuple[str, ...] = ()
    command: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Of the report."""
        return f"Weights of {self.before} and {self.after}, transplanted, on {self.collection}"

    def table(self) -> pd.DataFrame:
        """A row a direction, transplant and measure, columns `TOLD`: the intact score, the hybrid's, the effect."""
        frames = []
        for direction, difference in self.differences.items():
            frame = rows(difference).rename(columns=COLUMNS)
            split = frame["transplant"].astype(str).str.partition(":")
            place = {"direction": direction, "kind": split[0], "number": pd.to_numeric(split[2], errors="coerce")}
            frames.append(frame.assign(**place))
        return pd.concat(frames, ignore_index=True)[list(TOLD)]

    def headline(self, direction: str, kind: str | None = None) -> pd.DataFrame:
        """The rows of one direction by the headline measure, of one kind if asked."""
        found = self.table()
        found = found[(found["direction"] == direction) & (found["measure"] == self.measures[0])]
        return found if kind is None else found[found["kind"] == kind]

    def verdict(self) -> tuple[Statement, ...]:
        """The conclusions, in words."""
        return tuple(
            s for d in self.differences for rule in (_all, _blocks, _ends, _parts, _between) for s in rule(self, d)
        )


def _all(f: TransplantFindings, direction: str) -> Iterator[Statement]:
    row = f.headline(direction, "all").iloc[0]
    what, where = SAID[direction]
    shown = row["p_corrected"] < _alpha(f, direction)
    end = "that is the whole of what there is to explain" if shown else "no effect is shown that could be explained"
    sizes = f"{score(row['intact'])} to {_effect(f, direction, row)}"
    text = f"All of {what} in {where} take {f.measures[0]} from {sizes}: {end}."
    yield Statement(direction, CHANGED if shown else NO_EVIDENCE, text, ())


def _blocks(f: TransplantFindings, direction: str) -> Iterator[Statement]:
    """Which block alone matters most?"""
    blocks = f.headline(direction, "block")
    if blocks.empty:
        return
    largest = blocks.loc[blocks["effect"].abs().idxmax()]
    shown = blocks[blocks["p_corrected"] < _alpha(f, direction)]
    what, where = SAID[direction]
    text = (
        f"One block of {what} in {where}: {len(shown)} of {count(len(blocks), 'block')} change {f.measures[0]}. The "
        f"largest change is block {largest['number']:.0f}'s, {_effect(f, direction, largest)}."
    )
    yield Statement(direction, CHANGED if len(shown) else NO_EVIDENCE, text, ())


def _ends(f: TransplantFindings, direction: str) -> Iterator[Statement]:
    """From which end, and how many blocks, until half of the whole effect is there, and stays? By the means."""
    everything = f.headline(direction, "all").iloc[0]
    whole = float(everything["effect"])
    if not everything["p_corrected"] < _alpha(f, direction):
        return  # of an effect that is not shown there is no half
    what, where = SAID[direction]
    said = []
    for kind, end in (("top", "the top"), ("bottom", "the bottom, embeddings included,")):
        found = f.headline(direction, kind).sort_values("number")
        less = found.loc[found["effect"] / whole < 0.5, "number"]
        half = found[found["number"] > (less.max() if len(less) else 0)]
        if len(half):
            first = half.iloc[0]
            said.append(
                f"from {end} {count(int(first['number']), 'block')} of {f.n_blocks} (to {score(first['score'])} "
                f"{interval(first['low'], first['high'])})"
            )
        elif len(found):
            said.append(f"from {end} not even all blocks")
    if said:
        text = f"Half of that effect of {what} in {where} is there {' and '.join(said)}."
        yield Statement(direction, NOTE, text, ())


def _parts(f: TransplantFindings, direction: str) -> Iterator[Statement]:
    """Which part, in all blocks?"""
    found = f.headline(direction)
    found = found[found["kind"].isin(list(PART_WORDS))].sort_values("effect", key=abs, ascending=False)
    if found.empty:
        return
    what, where = SAID[direction]
    said = "; ".join(f"{PART_WORDS[r['kind']]} {_effect(f, direction, r)}" for _, r in found.iterrows())
    shown = bool((found["p_corrected"] < _alpha(f, direction)).any())
    text = f"One part of {what} in all blocks of {where}, the largest change first: {said}."
    yield Statement(direction, CHANGED if shown else NO_EVIDENCE, text, ())


def _between(f: TransplantFindings, direction: str) -> Iterator[Statement]:
    """Is a model between the two better than its receiver?"""
    found = f.headline(direction, "interpolate")
    if found.empty or direction != REWIND:
        return
    top = found.loc[found["score"].astype(float).idxmax()]
    better = top["effect"] > 0 and top["p_corrected"] < _alpha(f, direction)
    found_better = "It is better than the retriever." if better else "None is shown to be better than the retriever."
    text = (
        f"Between the two, the best is {100 * top['number']:.0f} % of the way back to the backbone: "
        f"{_effect(f, direction, top)}. {found_better}"
    )
    yield Statement(direction, CHANGED if better else NOTE, text, ())


def _alpha(f: TransplantFindings, direction: str) -> float:
    return alpha(f.differences[direction])


def _effect(f: TransplantFindings, direction: str, row: "pd.Series[Any]") -> str:
    corrected = f"{correction(f.differences[direction])}-corrected {p_value(row['p_corrected'])}"
    return f"{score(row['score'])}, {signed(row['effect'])} {effect_limits(row)}, {corrected}"


def depth_figure(f: TransplantFindings) -> Figure:
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
        "One block: block k alone is the other model's. From the top: the last k blocks and the final norm are. From "
        "the bottom: the embeddings and the first k blocks are. Bands are intervals over queries.",
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


def write_transplant_report(f: TransplantFindings, folder: Path) -> Path:
    """Write report.html, tables/ and figures/ into `folder` and return the path of the page."""
    counted = f.table()["kind"].isin(["block", "top", "bottom"]).any()
    figures, papers = [depth_figure(f)] if counted else [], transplant_tables(f)
    methods = {name: difference.method for name, difference in f.differences.items()}
    page = fill("transplants.html.j2", figures, papers, {"f": f, "statements": f.verdict(), "methods": methods})
    write_frames({"transplants": f.table()}, papers, folder / "tables")
    write_figures(figures, folder / "figures")
    return write_whole(folder / "report.html", page.encode())
