"""Do the controls behave? Rules that say whether the probes can be trusted.

The intervals of a control are widened to hold together over all its cells (Bonferroni):
among many cells some 95 % intervals miss chance by luck alone.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from retroscope.study.findings import Findings
from retroscope.typesetting.frames import PLAIN, alpha, by_side, hardest, own_rows, probe_rows
from retroscope.typesetting.numbers import count, interval, score
from retroscope.typesetting.statements import ALARM, CAUTION, NOTE, Statement
from retroscope.typesetting.subject import AFTER, BEFORE

ROUNDING = 1e-6  # of a mean of float32 accuracies
CELL = ["probe", "passages", "layer"]
SHUFFLED = "shuffled_queries"
HASHED = "hash_labels"
RANDOM = "random_weights"


def control_statements(findings: Findings) -> list[Statement]:
    """What every control says, in the order of `CONTROL_RULES`; a control that was not run is said, too."""
    if findings.probing is None:
        return []
    measured = set(probe_rows(findings)["control"])
    return [
        statement
        for control, rule in CONTROL_RULES.items()
        for statement in (rule(findings) if control in measured else [_not_run(control)])
    ]


def widened(cells: pd.DataFrame, level: float) -> pd.DataFrame:
    """The cells with `low` and `high` moved out, so that all of them cover together at 1 - `level`."""
    ratio = stats.norm.ppf(1 - level / (2 * max(len(cells), 1))) / stats.norm.ppf(1 - level / 2)
    below, above = cells["value"] - cells["low"], cells["high"] - cells["value"]
    return cells.assign(low=cells["value"] - ratio * below, high=cells["value"] + ratio * above)


def control_cells(findings: Findings, control: str) -> pd.DataFrame:
    """Every cell of a control on both sides, widened, with its `chance` and what passage_only reads (`ceiling`)."""
    probing = findings.probing
    if probing is None:
        raise ValueError("controls belong to probing findings")
    cells = widened(by_side(probe_rows(findings, control=control), CELL), alpha(probing))
    blind = by_side(probe_rows(findings, control=PLAIN, probe="passage_only"), CELL)
    ceiling = blind.rename(columns={"high": "ceiling"})[["side", "passages", "layer", "ceiling"]]
    cells = cells.merge(ceiling, on=["side", "passages", "layer"], how="left")
    cells["chance"] = 1 / cells["passages"]
    cells["ceiling"] = np.fmax(cells["ceiling"], cells["chance"])
    # where all vectors are one (EOS at layer 0), every choice is worth 1/N: an interval of no width, at chance but for
    # the rounding of a mean
    at_chance = (cells["value"] - cells["chance"]).abs() < ROUNDING
    cells.loc[at_chance, "low"] = np.minimum(cells["low"], cells["chance"])
    cells.loc[at_chance, "high"] = np.maximum(cells["high"], cells["chance"])
    return cells


def shuffled_statements(findings: Findings) -> list[Statement]:
    """With the queries shuffled nothing about relevance is left: chance, or what passage_only reads, at most."""
    cells = control_cells(findings, SHUFFLED)
    above = cells[cells["low"] > cells["ceiling"]]
    if len(above):
        return [_alarm("shuffled queries", above, len(cells), "read above chance and above passage_only")]
    blind = cells[cells["low"] > cells["chance"]]
    below = cells[cells["high"] < cells["chance"]]
    text = f"Shuffled queries: {_behaves(cells, len(blind) + len(below))}"
    if len(blind):
        text += f" {count(len(blind), 'cell')} above chance, no higher than passage_only reads without any query."
    if len(below):
        text += f" {count(len(below), 'cell')} below chance: there the hard negatives look more like positives."
    return [Statement("controls", NOTE, text)]


def hashed_statements(findings: Findings) -> list[Statement]:
    """With labels by a hash of each passage there is nothing to read of unseen passages: chance on both sides."""
    cells = control_cells(findings, HASHED)
    off = cells[(cells["low"] > cells["chance"]) | (cells["high"] < cells["chance"])]
    if len(off):
        return [_alarm("hash labels", off, len(cells), "differ from chance, although the labels are arbitrary")]
    return [Statement("controls", NOTE, f"Hash labels: {_behaves(cells, 0)}{_memorised(findings)}")]


def _memorised(findings: Findings) -> str:
    """What the probes learn by heart: the accuracy with arbitrary labels in training, and in the test."""
    spread = findings.seed_spread
    if spread is None or findings.probing is None:
        return ""
    n = hardest(findings.probing)
    fits = spread[(spread["control"] == HASHED) & (spread["n_passages"] == n)].dropna(subset=["train_accuracy"])
    if fits.empty:
        return ""
    most = fits.loc[fits["train_accuracy"].idxmax()]
    test = probe_rows(findings, control=HASHED, passages=n, probe=most["probe"], layer=most["layer"])
    tested = f" and in {score(test.iloc[0][most['side']])} of the test" if len(test) else ""
    return (
        f" Memorisation: with these labels {most['probe']} is right in {score(most['train_accuracy'])} of its training "
        f"choices{tested} (N={n}, chance {score(1 / n)}, layer {findings.layer_label(int(most['layer']))}, "
        f"{most['side']}; the most of all learned probes)."
    )


def random_statements(findings: Findings) -> list[Statement]:
    """At the layer where a model reads best, its random-weight twin must read less."""
    return [s for side in (BEFORE, AFTER) for s in _random_of(findings, side)]


def _random_of(findings: Findings, side: str) -> list[Statement]:
    own = own_rows(findings)
    if own.empty or findings.probing is None:
        return []
    peak = own.loc[own[side].idxmax()]
    n = hardest(findings.probing)
    twin = probe_rows(findings, probe=findings.after.similarity, control=RANDOM, passages=n)
    there = twin[twin["layer"] == peak["layer"]]
    if there.empty:
        return []
    best = twin.loc[twin[side].idxmax()]
    return [_beside_twin(findings, side, peak, there.iloc[0]), *_beside_best(findings, side, peak, best)]


def _beside_best(findings: Findings, side: str, peak: "pd.Series[float]", best: "pd.Series[float]") -> list[Statement]:
    """Said where random weights read as much at another layer: word overlap alone goes that far."""
    if best["layer"] == peak["layer"] or best[f"{side}_high"] < peak[f"{side}_low"]:
        return []
    text = (
        f"Random twin: random weights read {score(best[side])} "
        f"{interval(best[f'{side}_low'], best[f'{side}_high'])} at layer {findings.layer_label(int(best['layer']))}, "
        f"not clearly less than {findings.side(side).name} at its best layer. What needs no training reads that much."
    )
    return [Statement("controls", CAUTION, text, (side,))]


def _beside_twin(findings: Findings, side: str, peak: "pd.Series[float]", twin: "pd.Series[float]") -> Statement:
    model = findings.side(side).name
    where = f"layer {findings.layer_label(int(peak['layer']))}"
    sizes = (
        f"{score(peak[side])} {interval(peak[f'{side}_low'], peak[f'{side}_high'])} against "
        f"{score(twin[side])} {interval(twin[f'{side}_low'], twin[f'{side}_high'])}"
    )
    if twin[f"{side}_high"] < peak[f"{side}_low"]:
        text = f"Random twin: {model} reads more than the same architecture with random weights at {where}: {sizes}."
        return Statement("controls", NOTE, text, (side,))
    title = "Random twin"
    text = f"{title}: {model} does not read clearly more than random weights of its architecture at {where}: {sizes}."
    if twin[side] < peak[side]:
        text += " The intervals overlap; with more queries they may part."
    return Statement("controls", ALARM if side == AFTER else CAUTION, text, (side,), title=title)


def _alarm(control: str, off: pd.DataFrame, total: int, why: str) -> Statement:
    worst = off.loc[(off["value"] - off["chance"]).abs().idxmax()]
    sides = tuple(sorted(set(off["side"]), reverse=True))
    title = f"CONTROL FAILED ({control})"
    text = (
        f"{title}: {len(off)} of {count(total, 'cell')} {why}. Worst: {worst['probe']} on the "
        f"{worst['side']} side, layer {worst['layer']}, N={worst['passages']}: {score(worst['value'])} where chance is "
        f"{score(worst['chance'])}. Do not trust the probe results until this is explained."
    )
    return Statement("controls", ALARM, text, sides, title=title)


def _behaves(cells: pd.DataFrame, exceptions: int) -> str:
    if exceptions:
        return f"{len(cells) - exceptions} of {count(len(cells), 'cell')} at chance."
    return f"all {count(len(cells), 'cell')} at chance, as they must be."


def _not_run(control: str) -> Statement:
    consequence = CONSEQUENCES[control]
    return Statement("controls", CAUTION, f"The control {control} was not run: {consequence}.", ())


CONTROL_RULES: dict[str, Callable[[Findings], list[Statement]]] = {
    SHUFFLED: shuffled_statements,
    HASHED: hashed_statements,
    RANDOM: random_statements,
}
CONSEQUENCES = {
    SHUFFLED: "nothing shows that the probes read the query",
    HASHED: "nothing bounds what the probes could memorise",
    RANDOM: "nothing separates what was learned from what the architecture gives",
}
