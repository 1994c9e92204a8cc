"""Figure and tables of weights."""

import altair as alt
import pandas as pd

from retroscope.analyses.weights.result import WeightFindings
from retroscope.analyses.weights.words import PART_NAMES
from retroscope.typesetting.curves import embedded
from retroscope.typesetting.figure import Figure
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.numbers import percent

ROW_HEIGHT = 16  # of a layer in the heat map, in pixels
COLUMN_WIDTH = 74
MOST = 12  # tensors in the table of the page


def weight_figures(f: WeightFindings, tower: str = "") -> list[Figure]:
    """The heat map, where anything was compared; of a tower where each has weights of its own."""
    return [] if f.groups.empty else [_map(f, tower)]


def _map(f: WeightFindings, tower: str) -> Figure:
    rows = f.groups.assign(
        part=[PART_NAMES[p] for p in f.groups["part"]], percent=[100 * float(r) for r in f.groups["relative"]]
    )
    top = rows.loc[rows["relative"].idxmax()]
    parts = [name for name in PART_NAMES.values() if name in set(rows["part"])]
    chart = (
        alt.Chart(embedded(rows[["layer", "part", "percent", "tensors", "changed"]]))
        .mark_rect()
        .encode(
            x=alt.X("part:O", sort=parts, title=None, axis=alt.Axis(labelAngle=0, orient="top", grid=False)),
            y=alt.Y("layer:O", sort="descending", title="layer", axis=alt.Axis(labelOverlap="parity", grid=False)),
            color=alt.Color(
                "percent:Q",
                title="% of the size before",
                scale=alt.Scale(scheme="viridis", domainMin=0),
                legend=alt.Legend(orient="right", title="% of the size before", columns=1),
            ),
            tooltip=["part:N", "layer:O", alt.Tooltip("percent:Q", format=".3"), "changed:Q", "tensors:Q"],
        )
        .properties(width=COLUMN_WIDTH * len(parts), height=ROW_HEIGHT * rows["layer"].nunique())
    )
    caption = (
        "Size of the change over size before, |D| / |W| (Frobenius), of the tensors of a part in a layer. Layer 0 is "
        "the embeddings, layer k block k."
    )
    words = f"Heat map of relative change; largest {top['percent']:.3g} % at layer {top['layer']}, {top['part']}"
    title = f"What moved in the weights{f' of the {tower} tower' if tower else ''}"
    return Figure(f"weights_{tower}" if tower else "weights", title, caption, words, chart)


def weight_tables(f: WeightFindings, tower: str = "") -> dict[str, PaperTable]:
    """Layer by part, and the tensors that moved most; of a tower where each has weights of its own."""
    found, end, where = {}, f"_{tower}" if tower else "", f", {tower} tower" if tower else ""
    if not f.groups.empty:
        wide = f.groups.pivot_table(index="layer", columns="part", values="relative", sort=False).sort_index()
        wide = wide[[part for part in PART_NAMES if part in wide.columns]].rename(columns=PART_NAMES)
        printed = wide.map(lambda v: "" if pd.isna(v) else percent(v)).reset_index().astype(str)
        caption = f"Size of the change over size before, by layer and part: {f.before} to {f.after}{where}"
        found[f"weights{end}"] = PaperTable(printed, caption, "|D| / |W|, Frobenius norms.", tuple(printed.columns))
    moved = (
        f.tensors[(f.tensors["status"] == "changed") & (f.tensors["columns"] > 1)]
        .sort_values("relative", ascending=False)
        .head(MOST)
    )
    if len(moved):
        found[f"moved{end}"] = PaperTable(*_most(moved))
    return found


def _most(moved: pd.DataFrame) -> tuple[pd.DataFrame, str, str, tuple[str, ...]]:
    ranks = {
        "stable_rank": "stable rank",
        "effective_rank": "effective rank",
        "alignment": "alignment",
        "intruders": "intruders",
        "intruders_random": "by chance",
    }
    numbers = {
        title: ["" if pd.isna(v) else f"{v:.3g}" for v in moved[name]] for name, title in ranks.items() if name in moved
    }
    frame = pd.DataFrame(
        {
            "tensor": moved["name"],
            "shape": [f"{r} x {c}" if c > 1 else f"{r}" for r, c in zip(moved["rows"], moved["columns"], strict=True)],
            "change": [percent(v) for v in moved["relative"]],
            **numbers,
        }
    )
    note = (
        "Stable rank: |D|^2 / s1^2. Effective rank: exp of the entropy of the singular values. Alignment: how much "
        "larger the matrix was in the first directions of its change than in random ones. Intruders: of the largest "
        "singular vectors after, those that resemble none before; by chance: after a random change of the same size."
    )
    return frame, f"The {len(frame)} matrices that moved most, of their size", note, ("change", *numbers)
