"""The tables that a paper prints: few columns, three decimals, marks that are explained."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from retroscope.statistics import Difference
from retroscope.study.findings import Findings
from retroscope.typesetting.frames import PLAIN, alpha, correction, hardest, margin, rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.numbers import interval, marks, p_value, score, signed
from retroscope.typesetting.subject import AFTER, BEFORE
from retroscope.typesetting.words import effect_limits, is_equivalent

EQUAL_MARK = "="
NUMERIC = (BEFORE, AFTER, "effect", "interval", "p")
FLIPS_PRINTED = 10


def printed_effects(difference: Difference, frame: pd.DataFrame) -> pd.DataFrame:
    """The columns before, after, effect with its marks, interval, and corrected p, as text."""
    return pd.DataFrame(
        {
            BEFORE: [score(v) for v in frame[BEFORE]],
            AFTER: [score(v) for v in frame[AFTER]],
            "effect": [signed(row["effect"]) + mark(difference, row) for _, row in frame.iterrows()],
            "interval": [effect_limits(row) for _, row in frame.iterrows()],
            "p": [p_value(p).removeprefix("p ").removeprefix("= ") for p in frame["p_corrected"]],
        },
        dtype=object,
    )


def mark(difference: Difference, row: "pd.Series[Any]") -> str:
    """Stars for a difference, "=" for a shown equivalence, nothing for no evidence of either."""
    return marks(row["p_corrected"], alpha(difference)) + (EQUAL_MARK if is_equivalent(row) else "")


def explained(difference: Difference) -> str:
    """What the marks and columns of `printed_effects` mean."""
    a = alpha(difference)
    level = f"{100 * (1 - a):g} %"
    stars = f"*, **, ***: {correction(difference)}-corrected p below {a:g}, {a / 5:g}, {a / 50:g}"
    stated = margin(difference)
    equal = "equivalence was not tested" if pd.isna(stated) else f"{EQUAL_MARK}: equivalent within {stated:g}"
    n, texts = (int(difference.method.get(key, 0)) for key in ("queries", "texts"))
    over = f"{n:,} queries of {texts:,} distinct texts"
    return (
        f"Intervals: {level}, over {over}, not corrected; p is corrected. {stars}; {equal}. "
        "No mark: no evidence of either."
    )


def paper_retrieval(findings: Findings) -> PaperTable:
    """Every measure, before and after."""
    frame = rows(findings.retrieval)
    printed = printed_effects(findings.retrieval, frame)
    printed.insert(0, "measure", frame["measure"])
    tally = [f"{r['wins']:.0f}/{r['ties']:.0f}/{r['losses']:.0f}" for _, r in frame.iterrows()]
    printed["gained/tied/lost"] = tally
    note = explained(findings.retrieval)
    if findings.trainings is not None:
        note += " Intervals and p are of this training alone."
    return PaperTable(printed, f"Retrieval: {_pair(findings)}.", note, (*NUMERIC, "gained/tied/lost"))


def paper_whitened(findings: Findings) -> PaperTable:
    """Every measure with the whitened vectors of both."""
    if findings.whitened is None:
        return PaperTable(pd.DataFrame(), "")
    frame = rows(findings.whitened)
    printed = printed_effects(findings.whitened, frame)
    printed.insert(0, "measure", frame["measure"])
    caption = f"Retrieval with whitened vectors: {_pair(findings)}."
    return PaperTable(printed, caption, explained(findings.whitened), NUMERIC)


def paper_layers(findings: Findings) -> PaperTable:
    """The primary measure by layer."""
    if findings.layer_retrieval is None:
        return PaperTable(pd.DataFrame(), "")
    frame = rows(findings.layer_retrieval, measure=findings.primary_measure)
    caption = f"{findings.primary_measure} of every layer: {_pair(findings)}."
    return _by_layer(findings, findings.layer_retrieval, frame, caption)


def paper_probes(findings: Findings) -> PaperTable:
    """Every probe at its hardest, by layer, without controls."""
    if findings.probing is None:
        return PaperTable(pd.DataFrame(), "")
    n = hardest(findings.probing)
    frame = rows(findings.probing, control=PLAIN, passages=n)
    caption = f"Probe accuracy (N={n}, chance {score(1 / n)}): {_pair(findings)}."
    table = _by_layer(findings, findings.probing, frame, caption)
    table.frame.insert(0, "probe", frame["probe"])
    return table


def paper_controls(findings: Findings) -> PaperTable:
    """The retriever's own question under every control, by layer."""
    if findings.probing is None:
        return PaperTable(pd.DataFrame(), "")
    n, probe = hardest(findings.probing), findings.after.similarity
    frame = rows(findings.probing, probe=probe, passages=n)
    printed = pd.DataFrame(
        {
            "control": frame["control"],
            "layer": [findings.layer_label(int(k)) for k in frame["layer"]],
            **{
                side: [f"{score(r[side])} {interval(r[f'{side}_low'], r[f'{side}_high'])}" for _, r in frame.iterrows()]
                for side in (BEFORE, AFTER)
            },
        }
    )
    caption = f"Controls of the probe {probe} (N={n}, chance {score(1 / n)}): {_pair(findings)}."
    return PaperTable(printed, caption, "", NUMERIC)


def paper_flips(findings: Findings) -> PaperTable:
    """The queries that changed most."""
    flips = findings.retrieval.flips(FLIPS_PRINTED, measure=findings.flip_measure)
    printed = pd.DataFrame(
        [(findings.query_texts.get(f.query_id, f.query_id), score(f.before), score(f.after)) for f in flips],
        columns=["query", BEFORE, AFTER],
    )
    return PaperTable(printed, f"Queries whose {findings.flip_measure} changed most: {_pair(findings)}.", "", NUMERIC)


def paper_seeds(findings: Findings) -> PaperTable:
    """The spread over seeds of every trained probe, over layers and N."""
    if findings.seed_spread is None or findings.seed_spread.empty:
        return PaperTable(pd.DataFrame(), "")
    grouped = findings.seed_spread.groupby(["side", "probe", "control"], sort=False)["sd"]
    found = grouped.agg(["median", "max"]).reset_index()
    for column in ("median", "max"):
        found[column] = [f"{value:.4f}" for value in found[column]]
    caption = f"Standard deviation of the accuracy over seeds, over layers and N: {_pair(findings)}."
    return PaperTable(found, caption, "", ("median", "max"))


def _by_layer(findings: Findings, difference: Difference, frame: pd.DataFrame, caption: str) -> PaperTable:
    printed = printed_effects(difference, frame)
    printed.insert(0, "layer", [findings.layer_label(int(k)) for k in frame["layer"]])
    return PaperTable(printed, caption, explained(difference), NUMERIC)


def _pair(findings: Findings) -> str:
    return f"{findings.before.name} (before) and {findings.after.name} (after) on {findings.collection.name}"


PAPER_TABLES: dict[str, Callable[[Findings], PaperTable]] = {
    "retrieval": paper_retrieval,
    "layer_retrieval": paper_layers,
    "whitened": paper_whitened,
    "probing": paper_probes,
    "controls": paper_controls,
    "seeds": paper_seeds,
    "flips": paper_flips,
}
