"""Table, lists and figure of docs/studies/universality.md, from its committed results."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

HOME = Path(__file__).resolve().parents[1] / "docs/studies"
DATA, PAGE, FIGURE = Path("data/universality"), "universality.md", "universality.svg"
TABLES = ("found", "contrasts", "shares", "worth", "claims", "planned")
PART_NAMES = {
    "architecture": "architecture", "control": "control", "dose": "steps of pre-training",
    "longer": "longer fine-tuning",
    "claims": "probes and neurons",
    "strategy": "objective x strategy", "objective": "objective x strategy, further objectives",
    "exposure": "facts seen more or less often", "labels": "label curves",
}  # fmt: skip
R10, PEERS, PEERS_CHANCE = "R@10", "peers", 0.5  # as universality_numbers.py has them
LEAK = 0.75  # share of peers, halfway from chance to certainty: a control at chance must exclude it
FOUND, BELOW, UNDECIDED = "found", "below chance", "undecided"
TITLE = "share of peers ranked below, after"
WHOLE_DOSE = "BERT, mean"  # the arm of `architecture` that the doses are shares of
NEVER_RUN = (
    "Transplants (localisation) were not run: they would take too long.",
    "Probes and neurons of T5 by its decoder's first state were not run: Retroscope loads only the encoder of a T5.",
    "BitFit of T5 and LLaMA was not run: these architectures have no biases to train.",
)


@dataclass(frozen=True)
class Results:
    """The committed tables, empty where a part has not run, and the sizes of the world."""

    tables: Mapping[str, pd.DataFrame]
    about: Mapping[str, Any]

    def chance_of(self, measure: str) -> float:
        """Return a measure of a random ranking."""
        return PEERS_CHANCE if measure == PEERS else self.chance

    @property
    def chance(self) -> float:
        """Return R@10 of a random ranking."""
        return float(self.about["chance"])

    def of(self, part: str, arm: str, stratum: str, side: str, measure: str = R10) -> "pd.Series[Any] | None":
        """Return one row of `found`; None where the arm has not run."""
        rows = self.tables["found"]
        at = {"part": part, "arm": arm, "stratum": stratum, "side": side, "measure": measure}
        chosen = rows[(rows[list(at)] == pd.Series(at)).all(axis=1)]
        return None if chosen.empty else chosen.iloc[0]


def read_results(folder: Path) -> Results:
    """Read what `universality.py` wrote."""
    files = {name: folder / f"{name}.csv" for name in TABLES}
    tables = {name: pd.read_csv(file) if file.exists() else pd.DataFrame() for name, file in files.items()}
    return Results(tables, json.loads((folder / "scale.json").read_text("utf-8")))


def write_page() -> None:
    """Fill the page and draw its figure; equal results give equal files."""
    results, page = read_results(HOME / DATA), HOME / PAGE
    if page.exists():
        page.write_text(filled(page.read_text("utf-8"), marked(results)), "utf-8")
    (HOME / FIGURE).write_text(vl_convert.vegalite_to_svg(figure(results).to_json()), "utf-8")


def marked(results: Results) -> dict[str, str]:
    """Return the Markdown of everything on the page that is made of the results, by name."""
    made = {
        "results": result_table, "controls": control_table, "claims": claim_table, "shares": share_table,
        "worth": worth_table, "not run": not_run_list,
    }  # fmt: skip
    return {name: "\n".join(lines(results)) or "- Not run." for name, lines in made.items()}


def filled(text: str, made: Mapping[str, str]) -> str:
    """Replace what stands between `<!-- NAME -->` and `<!-- end -->`."""
    for name, lines in made.items():
        between = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        text = between.sub(lambda match, lines=lines: f"{match[1]}\n{lines}\n{match[2]}", text)
    return text


COLUMNS = {
    "R@10, known, before": ("known", "before", R10), "R@10, known, after": ("known", "after", R10),
    "R@10, unknown, after": ("unknown", "after", R10), "R@10, lexical, after": ("lexical", "after", R10),
    "peers, known, before": ("known", "before", PEERS), "peers, known, after": ("known", "after", PEERS),
    "peers, unknown, after": ("unknown", "after", PEERS),
}  # fmt: skip


def result_table(results: Results) -> Iterator[str]:
    """Yield both measures of every arm, and what they say."""
    columns = [*COLUMNS, "known before", "known after", "R@10, known, against BERT"]
    yield f"| part | arm | weights | seeds | {' | '.join(columns)} |"
    yield f"|{'---|' * (7 + len(COLUMNS))}"
    for _, arm in results.tables["planned"].iterrows():
        part, name = arm["part"], arm["arm"]
        if part in ("claims", "labels"):
            continue
        numbers = [results.of(part, name, *at) for at in COLUMNS.values()]
        if numbers[0] is None:
            yield f"| {PART_NAMES[part]} | {name} | not run |{' - |' * (4 + len(COLUMNS))}"
            continue
        cells = [
            PART_NAMES[part],
            name,
            f"{numbers[0]['parameters']:,}",
            f"{numbers[0]['seeds']}",
            *map(interval, numbers),
        ]
        cells += [verdict(results.of(part, name, "known", side, PEERS)) for side in ("before", "after")]
        yield f"| {' | '.join([*cells, against(results, part, name)])} |"


def verdict(row: "pd.Series[Any]") -> str:
    """Return whether the interval of a share of peers lies above chance."""
    return FOUND if row["low"] > PEERS_CHANCE else BELOW if row["high"] < PEERS_CHANCE else UNDECIDED


def against(results: Results, part: str, arm: str) -> str:
    """Return how many more known people an arm finds than BERT with mean pooling, Holm-corrected within its part."""
    rows = results.tables["contrasts"]
    own = rows[(rows["part"] == part) & (rows["arm"] == arm)] if len(rows) else rows
    return "-" if own.empty else f"{signed(own.iloc[0])}, {own.iloc[0]['outcome']}"


def control_table(results: Results) -> Iterator[str]:
    """Yield a table of the controls, and one line for the unknown people of all further arms."""
    yield "| arm | people | side | measure | must | value | outcome |"
    yield "|---|---|---|---|---|---|---|"
    yield from control_rows(results)
    yield from other_controls(results)


def control_rows(results: Results) -> Iterator[str]:
    """Yield every control with its number, and whether it passes."""
    for (part, arm, stratum, side), measure, above in controls():
        row = results.of(part, arm, stratum, side, measure)
        if row is not None:
            wanted = f"{'be' if above else 'not be'} above {results.chance_of(measure):.3f}"
            passed = control_outcome(row, results.chance_of(measure), above=above)
            yield f"| {arm} | {stratum} | {side} | {measure} | {wanted} | {interval(row)} | **{passed}** |"


def other_controls(results: Results) -> Iterator[str]:
    """Yield a sentence on the unknown people of all further arms: it counts those that pass and names the others."""
    rows = results.tables["found"]
    at = {"stratum": "unknown", "side": "after", "measure": PEERS}
    own = rows[(rows[list(at)] == pd.Series(at)).all(axis=1) & ~rows["part"].isin(["architecture", "labels"])]
    named: dict[str, list[str]] = {"passes": [], "undecided": [], "fails": []}
    for _, row in own.iterrows():
        outcome = control_outcome(row, PEERS_CHANCE, above=False)
        named[outcome].append(f"{row['arm']} {interval(row)}")
    if len(own):
        sentences = {
            "undecided": "The control for unknown people is undecided for",
            "fails": "The control for unknown people fails for",
        }
        rest = "".join(
            f" {words} {'; '.join(named[outcome])}." for outcome, words in sentences.items() if named[outcome]
        )
        yield ""
        yield (
            f"The same control for unknown people after fine-tuning (peers, must not be above {PEERS_CHANCE:.3f}) was "
            f"run for {len(own)} other arms; it passes for {len(named['passes'])} of them.{rest}"
        )


def control_outcome(row: "pd.Series[Any]", chance: float, *, above: bool) -> str:
    """Return what an interval says of a control; one so wide that a leak would fit into it says nothing."""
    if row["low"] > chance:
        return "passes" if above else "fails"
    if above:
        return "fails"
    return "passes" if row["high"] < LEAK else "undecided"


def controls() -> Iterator[tuple[tuple[str, str, str, str], str, bool]]:
    """Yield (part, arm, stratum, side), measure, and whether it must be above chance."""
    yield ("control", "from scratch", "known", "after"), PEERS, False
    yield ("control", "shuffled facts", "known", "before"), PEERS, False
    yield ("control", "shuffled facts", "known", "after"), PEERS, False
    yield ("control", "from scratch", "lexical", "after"), R10, True
    for arm in ARCHITECTURES:
        for side in ("before", "after"):
            yield ("architecture", arm, "unknown", side), PEERS, False


ARCHITECTURES = (
    "BERT, mean", "BERT, cls", "RoBERTa-like, mean", "ModernBERT, mean", "T5 encoder, mean",
    "T5, decoder's first state", "LLaMA causal, mean", "LLaMA both ways, mean",
)  # fmt: skip


def claim_table(results: Results) -> Iterator[str]:
    """Yield a table with the number and the outcome of every instrument for every architecture."""
    rows = results.tables["claims"]
    if rows.empty:
        return
    ruled = rows[rows["outcome"].notna()]
    ruled = ruled.assign(cell=[f"{signed(row)}, {row['outcome']}" for _, row in ruled.iterrows()])
    columns = ruled.groupby(["instrument", "stratum"], sort=False)
    names = [f"{name}{'' if stratum == 'all' else f', {stratum} people'}" for name, stratum in columns.groups]
    yield f"| architecture | {' | '.join(names)} |"
    yield f"|{'---|' * (1 + len(names))}"
    by_arm = [own.set_index("arm")["cell"] for _, own in columns]
    for arm in dict.fromkeys(ruled["arm"]):
        yield f"| {arm} | {' | '.join(cells.get(arm, '-') for cells in by_arm)} |"


def share_table(results: Results) -> Iterator[str]:
    """Yield a table of omega squared of known people."""
    rows = results.tables["shares"]
    if rows.empty:
        return
    yield "| effect | omega squared |"
    yield "|---|---|"
    for _, row in rows[rows["stratum"] == "known"].iterrows():
        yield f"| {row['effect']} | {row['share']:.3f} [{row['low']:.3f}, {row['high']:.3f}] |"


def worth_table(results: Results) -> Iterator[str]:
    """Yield a table of what pre-training is worth in labels for known people."""
    rows = results.tables["worth"]
    if rows.empty:
        return
    yield "| pre-training objective | n, training questions | R@10 beyond random weights at n | worth in labels |"
    yield "|---|---|---|---|"
    for _, row in rows[rows["stratum"] == "known"].iterrows():
        gap = f"{row['gap']:+.3f} [{row['gap_low']:+.3f}, {row['gap_high']:+.3f}]"
        worth = f"more than {row['beyond']:.0f}" if row["value"] == float("inf") else f"{row['value']:.0f}"
        yield f"| {row['objective']} | {row['labels']} | {gap} | {worth if row['shown'] else 'undecided'} |"


def not_run_list(results: Results) -> Iterator[str]:
    """Yield what was planned and has not run, and what cannot."""
    rows = results.tables["planned"]
    for part, name in PART_NAMES.items():
        own = rows[rows["part"] == part]
        missing = own[own["seeds_finished"] < own["seeds_planned"]]
        if len(missing):
            names = "; ".join(f"{row.arm}: {row.seeds_finished}" for row in missing.itertuples() if row.seeds_finished)
            done = f" (finished seeds: {names})" if names else ""
            yield f"- {name}: {len(missing)} of {len(own)} arms lack seeds{done}"
    yield from (f"- {text}" for text in NEVER_RUN)


def interval(row: "pd.Series[Any]") -> str:
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def signed(row: "pd.Series[Any] | dict[str, Any]") -> str:
    return f"{row['value']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def figure(results: Results) -> alt.HConcatChart:
    """Draw known and unknown people by architecture and control, by dose, and known people by objective x strategy."""
    rows = results.tables["found"]
    after = rows[(rows["side"] == "after") & rows["stratum"].isin(["known", "unknown"]) & (rows["measure"] == PEERS)]
    panels = [arm_panel(after, PEERS_CHANCE), dose_panel(after, PEERS_CHANCE)]
    strategies = after[after["part"].isin(["strategy", "objective"]) & (after["stratum"] == "known")]
    if len(strategies):
        panels.append(strategy_panel(strategies))
    return alt.hconcat(*panels).resolve_scale(color="independent")


def arm_panel(after: pd.DataFrame, chance: float) -> alt.LayerChart:
    """Draw one line an architecture and control."""
    own = after[after["part"].isin(["architecture", "control"])]
    shown = own[["arm", "stratum", "value", "low", "high"]]
    y = alt.Y("arm:N", title=None, sort=list(dict.fromkeys(own["arm"])), axis=alt.Axis(labelLimit=200))
    offset = alt.YOffset("stratum:N", sort=["known", "unknown"])
    base = alt.Chart(shown).encode(y=y, yOffset=offset, color=alt.Color("stratum:N", title="people"))
    x = alt.X("value:Q", title=TITLE, scale=alt.Scale(domain=[0, 1]))
    bars = base.mark_rule().encode(x=alt.X("low:Q", title=TITLE), x2="high:Q")
    return alt.layer(chance_line(chance, "x"), bars, base.mark_point(filled=True).encode(x=x)).properties(
        width=230, height=300, title="architectures and controls"
    )


def dose_panel(after: pd.DataFrame, chance: float) -> alt.LayerChart:
    """Draw R@10 over the steps of pre-training, a share of all."""
    shares = {"from scratch": 0.0, WHOLE_DOSE: 1.0}
    shares |= {arm: float(arm.split()[-1]) for arm in after["arm"] if arm.startswith("steps x")}
    own = after[after["arm"].isin(shares) & after["part"].isin(["architecture", "control", "dose"])]
    shown = own.assign(dose=own["arm"].map(shares))[["dose", "stratum", "value", "low", "high"]]
    base = alt.Chart(shown).encode(
        x=alt.X("dose:Q", title="share of the pre-training steps"), color=alt.Color("stratum:N", title="people")
    )
    y = alt.Y("value:Q", title=TITLE, scale=alt.Scale(domain=[0, 1]))
    bars = base.mark_rule().encode(y=alt.Y("low:Q", title=TITLE), y2="high:Q")
    return alt.layer(chance_line(chance, "y"), bars, base.mark_line(point=True).encode(y=y)).properties(
        width=220, height=300, title="weak pre-training"
    )


def strategy_panel(rows: pd.DataFrame) -> alt.LayerChart:
    """Draw the means of objective x strategy as tiles with their numbers."""
    named = rows["arm"].str.rsplit(", ", n=1, expand=True)
    shown = rows.assign(objective=named[0], strategy=named[1], text=rows["value"].map("{:.2f}".format))
    shown = shown[["objective", "strategy", "value", "text"]]
    base = alt.Chart(shown).encode(
        x=alt.X("strategy:N", title=None, sort=list(dict.fromkeys(shown["strategy"]))),
        y=alt.Y("objective:N", title=None, sort=list(dict.fromkeys(shown["objective"]))),
    )
    tiles = base.mark_rect().encode(
        color=alt.Color("value:Q", title="peers below", scale=alt.Scale(scheme="blues", domain=[0, 1]))
    )
    light = alt.condition("datum.value > 0.6", alt.value("white"), alt.value("black"))
    return alt.layer(tiles, base.mark_text(fontSize=10).encode(text="text:N", color=light)).properties(
        width=210, height=300, title="known people, objective x strategy"
    )


def chance_line(chance: float, axis: str) -> alt.Chart:
    line = alt.Chart(pd.DataFrame({"chance": [chance]})).mark_rule(strokeDash=[3, 3], color="grey")
    return line.encode(x="chance:Q") if axis == "x" else line.encode(y="chance:Q")
