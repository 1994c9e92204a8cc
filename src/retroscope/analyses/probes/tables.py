"""Tables of the probes: accuracy by layer, controls and spread over seeds."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from retroscope.analyses.probes.result import ProbesResult
from retroscope.analyses.probes.words import WITHOUT
from retroscope.number_format import interval, score
from retroscope.probing.records import ProbeRecord
from retroscope.statistics import Difference
from retroscope.typesetting.effect_tables import NUMERIC, effects_by_layer, pair
from retroscope.typesetting.frames import PLAIN
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.means import one_model
from retroscope.typesetting.subject import AFTER, BEFORE, Subject


def probe_tables(result: ProbesResult, subject: Subject) -> dict[str, PaperTable]:
    """Return the tables of the probes: accuracy by layer, controls of the similarity probe, and spread over seeds.

    Accuracies are those with the largest number of candidates N. Empty tables are left out.
    """
    if result.effect is None:
        return {}
    tables = {
        "probing": by_layer(result, result.effect, subject),
        "controls": controls(result, subject),
        "seeds": seeds(result, subject),
    }
    if result.bare is not None:
        bare = by_layer(replace(result, effect=result.bare, bare=None), result.bare, subject)
        tables["probing_bare"] = replace(bare, caption=f"{bare.caption} Layers {WITHOUT}.")
    return {name: table for name, table in tables.items() if not table.frame.empty}


def by_layer(result: ProbesResult, effect: Difference, subject: Subject) -> PaperTable:
    """Return a table of every probe's accuracy by layer, before and after fine-tuning, without controls.

    The accuracies are those with the largest number of candidates N.
    """
    n = result.hardest
    frame = result.rows(control=PLAIN, passages=n)
    caption = f"Probe accuracy (N={n}, chance {score(1 / n)}): {pair(subject)}."
    table = effects_by_layer(subject, effect, frame, caption)
    table.frame.insert(0, "probe", frame["probe"])
    return table


def controls(result: ProbesResult, subject: Subject) -> PaperTable:
    """Return a table of the similarity probe's accuracy by layer, without and with each control.

    The accuracies are those with the largest number of candidates N.
    """
    n, probe = result.hardest, result.similarity
    frame = result.rows(probe=probe, passages=n)
    printed = pd.DataFrame(
        {
            "control": frame["control"],
            "layer": [subject.layer_label(int(k)) for k in frame["layer"]],
            **{
                side: [f"{score(r[side])} {interval(r[f'{side}_low'], r[f'{side}_high'])}" for _, r in frame.iterrows()]
                for side in (BEFORE, AFTER)
            },
        }
    )
    caption = f"Controls of the probe {probe} (N={n}, chance {score(1 / n)}): {pair(subject)}."
    return PaperTable(printed, caption, "", NUMERIC)


def seeds(result: ProbesResult, subject: Subject) -> PaperTable:
    """Return a table of the standard deviation of accuracy over seeds: its median and maximum over layers and N.

    N is the number of candidates.
    """
    if result.seed_spread is None or result.seed_spread.empty:
        return PaperTable(pd.DataFrame(), "")
    grouped = result.seed_spread.groupby(["side", "probe", "control"], sort=False)["sd"]
    spread = grouped.agg(["median", "max"]).reset_index()
    for column in ("median", "max"):
        spread[column] = [f"{value:.4f}" for value in spread[column]]
    caption = f"Standard deviation of the accuracy over seeds; median and maximum over layers and N: {pair(subject)}."
    return PaperTable(spread, caption, "", ("median", "max"))


def accuracy_tables(records: Sequence[ProbeRecord], subject: Subject) -> dict[str, PaperTable]:
    """Return tables of a single model's accuracy, one for each N (number of candidates).

    Rows are probes with a control, columns are layers.
    """
    sizes = sorted({int(row["n_passages"]) for row in records})
    return {f"probing_{n}": _accuracies(n, [r for r in records if r["n_passages"] == n], subject) for n in sizes}


def _accuracies(n: int, records: Sequence[ProbeRecord], subject: Subject) -> PaperTable:
    frame = pd.DataFrame(records)
    wide = frame.pivot_table("accuracy", ["probe", "control"], "layer", sort=False).sort_index(axis="columns")
    layers = [str(layer) for layer in wide.columns]
    printed = pd.DataFrame([[*cell, *map(score, row)] for cell, row in zip(wide.index, wide.to_numpy(), strict=True)])
    printed.columns = pd.Index(["probe", "control", *layers])
    caption = f"Accuracy by layer, N = {n} (chance {score(1 / n)}): {one_model(subject)}."
    return PaperTable(printed, caption, "Intervals are in tables/probing.csv.", layers)
