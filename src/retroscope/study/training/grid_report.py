"""Report a training ablation: how much each part of the pre-trained weights was worth."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from retroscope.files.whole import write_whole
from retroscope.number_format import exact_percent, interval, percent, score, signed, tied_p
from retroscope.study.training.grid_settings import INTACT
from retroscope.typesetting import console
from retroscope.typesetting.charts.curves import curves, facets
from retroscope.typesetting.charts.drawing import write_figures
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.page import fill
from retroscope.typesetting.statements import Estimate, State, Statement
from retroscope.typesetting.tables import write_frames

TABLES = ("cells", "effects", "shares", "worth")


@dataclass(frozen=True, eq=False)
class GridFindings:
    """The tables of a training ablation, with rows for combinations of levels, test collections and measures.

    Attributes:
        title: title of the report.
        headline: headline measure, which statements and figures are about.
        level: confidence level of the intervals.
        seeds: how many seeds were trained.
        cells: means over seeds and queries.
        effects: differences (re-initialised minus intact), paired by query and seed.
        shares: share of the variance of the cells' means that each factor explains.
        worth: how many additional labels the pre-trained weights of a part are worth; for infinite values see
            `retroscope.statistics.worth`.
        caveats: what a reader must know before reading a number.
    """

    title: str
    headline: str
    level: float
    seeds: int
    cells: pd.DataFrame
    effects: pd.DataFrame
    shares: pd.DataFrame
    worth: pd.DataFrame
    caveats: tuple[str, ...] = ()
    command: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def statements(self) -> tuple[Statement, ...]:
        """Return the conclusions of the training ablation: effects, worth in labels, and shares of variance."""
        return (*_effect_words(self), *_worth_words(self), *_share_words(self))


def _effect_words(f: GridFindings) -> Iterator[Statement]:
    """Yield a statement for each re-initialised part: its effect with the largest number of labels."""
    if f.effects.empty:
        return
    most = f.effects["labels"].max()
    for row in f.effects[(f.effects["measure"] == f.headline) & (f.effects["labels"] == most)].itertuples():
        state, changes, note = _outcome(row, f)
        ends = interval(row.ci_low, row.ci_high, effect=True)
        text = (
            f"{_where(row)} with {row.labels:,} labels: re-initialising {_parts(row.reinitialise)} before fine-tuning "
            f"{changes} {f.headline} on {row.test}: {signed(row.change)} {ends}, "
            f"{tied_p(row.p)}, holm-corrected {tied_p(row.p_corrected)} over all effects on {f.headline}.{note}"
        )
        number = Estimate(f"{f.headline} on {row.test}", row.change, row.ci_low, row.ci_high, row.p_corrected, row.n)
        yield Statement("effect", state, text, (), code="effect", estimate=number)


def _outcome(row: Any, f: GridFindings) -> tuple[State, str, str]:
    """Return the state, verb and note of an effect. With one seed no effect is claimed: p is over queries alone."""
    if f.seeds == 1:
        return State.MEASURED, "may change", " There is a single seed, so the difference may be chance."
    if row.p_corrected < 1 - f.level:
        return State.SIGNIFICANT, "changes", ""
    return State.NOT_SIGNIFICANT, "does not significantly change", ""


def _worth_words(f: GridFindings) -> Iterator[Statement]:
    """Yield a statement for each part: its worth in labels, for every number of labels except the largest."""
    if f.worth.empty:
        return
    for _, rows in f.worth.groupby(["test", "backbone", "strategy", "reinitialise"], sort=False):
        first = next(rows.itertuples())
        parts = "; ".join(worth_in_words(row) for row in rows[rows["beyond"] > 0].itertuples())
        what = f"additional labels that the pre-trained weights of {_parts(first.reinitialise)} are worth"
        yield Statement(
            "worth", State.MEASURED, f"{_where(first)}, on {first.test}: {what}: {parts}.", (), code="worth"
        )


def worth_in_words(row: Any) -> str:
    """Describe how many labels a pre-trained part is worth, from a row of `GridFindings.worth`.

    A worth is claimed only if both the worth and the score difference are significant.
    """
    ends = f"[{_labels(row.low, row)} to {_labels(row.high, row)}]"
    value = _labels(row.value, row)
    if np.isnan(row.gap_low):
        return f"at {row.labels:,} labels, {value} {ends} from a single seed, so this is not tested"
    if row.low > 0 and row.gap_low > 0:
        return f"at {row.labels:,} labels, {value} {ends}"
    if row.high < 0 and row.gap_high < 0:
        return f"at {row.labels:,} labels, none, because re-initialised weights need fewer labels"
    return f"at {row.labels:,} labels, no significant benefit"


def _labels(end: float, row: Any) -> str:
    if np.isfinite(end):
        return f"{end:,.0f}"
    return f"more than {row.beyond:,}" if end > 0 else "fewer than 0"


def _share_words(f: GridFindings) -> Iterator[Statement]:
    """Yield a statement for each test collection: the four factors that explain the most variance."""
    if f.shares.empty:
        return
    for test, rows in f.shares[f.shares["measure"] == f.headline].groupby("test", sort=False):
        largest = rows.sort_values("share", ascending=False).head(4)
        shares = ", ".join(_share_in_words(row) for row in largest.itertuples())
        kind = "omega squared" if f.seeds > 1 else "eta squared; one seed, so noise is not subtracted"
        yield Statement(
            "shares",
            State.MEASURED,
            f"Share of the variance of {f.headline} on {test} that each setting explains ({kind}): {shares}.",
            (),
            code="shares",
        )


def _share_in_words(row: Any) -> str:
    beside = "" if np.isnan(row.noise) else f" (noise alone gives {percent(row.noise)})"
    return f"{row.effect} {percent(row.share)}{beside}"


def _where(row: Any) -> str:
    return f"{row.backbone}, {row.strategy} fine-tuning"


def _parts(word: str) -> str:
    if word == "all":
        return "the whole backbone"
    named = {"ffn": "the FFN", "attention": "attention", "embeddings": "the embeddings", "norms": "the norms"}
    return " and ".join(named.get(part) or _blocks(part) for part in word.split("+"))


def _blocks(part: str) -> str:
    end, _, count = part.partition(":")
    return f"the {end} block" if count == "1" else f"the {end} {count} blocks"


def label_figure(f: GridFindings) -> Figure:
    """Draw the headline measure against the number of labels, with a line for each re-initialised part."""
    rows = f.cells[f.cells["measure"] == f.headline]
    renamed = {"mean": "value", "ci_low": "low", "ci_high": "high"}
    frame = rows.rename(columns=renamed).assign(series=_series(rows), line=_series(rows))
    ordered = frame["labels"].nunique() > 1
    x = (
        alt.X("labels:Q", title="training queries", scale=alt.Scale(type="log", nice=False, padding=12))
        if ordered
        else alt.X("labels:O", title="training queries")
    )
    y = alt.Y("value:Q", title=f.headline, scale=alt.Scale(zero=True))
    panel = curves(x, frame, y, at="labels")
    shown = frame[["labels", "value", "low", "high", "series", "line", "test"]]
    chart = facets(panel, shown, "test", list(dict.fromkeys(frame["test"])), columns=2)
    return Figure(
        "labels",
        f"{f.headline} by training labels",
        f"Mean over {f.seeds} seeds and all test queries; bands are {exact_percent(f.level)} intervals over both.",
        f"{f.headline} of every combination of settings against the number of training queries",
        chart,
    )


def _series(rows: pd.DataFrame) -> list[str]:
    """Return the label of each row's line in the figure: the levels of all factors that differ between rows."""
    axes = [axis for axis in ("backbone", "strategy", "reinitialise") if rows[axis].nunique() > 1] or ["backbone"]
    words = {INTACT: "intact"}
    end = {"reinitialise": " re-initialised"}
    return [
        ", ".join(words.get(v, f"{v}{end.get(axis, '')}") for axis, v in zip(axes, row, strict=True))
        for row in rows[axes].itertuples(index=False)
    ]


def paper_tables(f: GridFindings) -> dict[str, PaperTable]:
    """Return the tables of scores and of worth, as a paper prints them."""
    rows = f.cells[f.cells["measure"] == f.headline]
    keep = ["test", "backbone", "reinitialise", "strategy", "labels"]
    cells = rows[keep].assign(**{f.headline: [
        f"{score(r.mean)} {interval(r.ci_low, r.ci_high)}" for r in rows.itertuples()
    ]})  # fmt: skip
    caption = (
        f"{f.headline}, mean over {f.seeds} seeds and all test queries, {exact_percent(f.level)} interval over both"
    )
    tables = {"cells": PaperTable(cells, caption, numeric=("labels",))}
    if not f.worth.empty:
        worth = f.worth[["test", "backbone", "strategy", "reinitialise", "labels"]].assign(
            worth=[_labels(r.value, r) for r in f.worth.itertuples()],
            interval=[f"{_labels(r.low, r)} to {_labels(r.high, r)}" for r in f.worth.itertuples()],
        )
        tables["worth"] = PaperTable(worth, "Worth of the pre-trained weights, in labels", numeric=("labels",))
    return tables


def grid_text(f: GridFindings) -> str:
    """Return the statements, the caveats, and the tables of scores and worth, as text for a terminal."""
    return console.page(
        [
            f.title,
            console.statement_list("Statements", f.statements()),
            console.bullet_list("Caveats", f.caveats),
            *map(console.table, paper_tables(f).values()),
        ]
    )


def write_grid_page(f: GridFindings, folder: Path) -> Path:
    """Write report.html, tables/ and figures/ into `folder` and return the path of the page."""
    figures, papers = [label_figure(f)], paper_tables(f)
    page = fill("grid.html.j2", figures, papers, {"title": f.title, "f": f, "statements": f.statements()})
    frames = {name: getattr(f, name) for name in TABLES}
    write_frames(frames, papers, folder / "tables")
    write_figures(figures, folder / "figures")
    return write_whole(folder / "report.html", page.encode())
