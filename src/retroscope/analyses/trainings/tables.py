"""Tables of several trainings that a paper prints."""

import pandas as pd

from retroscope.analyses.trainings.result import TrainingsResult
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.numbers import count, interval, marks, p_value, score, signed
from retroscope.typesetting.subject import AFTER, BEFORE, Subject
from retroscope.typesetting.words import effect_limits

NUMERIC = (BEFORE, AFTER, "effect", "interval", "p", "sd over trainings")


def training_tables(found: TrainingsResult, subject: Subject) -> dict[str, PaperTable]:
    """Return the tables over trainings, of each, and of the probes by layer."""
    n = len(found.names)
    note = (
        f"Intervals: {100 * found.level:g} %, over {count(n, 'training')} and their queries together, not corrected; p "
        f"is corrected (Holm; the headline is a family of its own). *, **, ***: p below {found.alpha:g}, "
        f"{found.alpha / 5:g}, {found.alpha / 50:g}."
    )
    over = _printed(found.retrieval, found)
    over.insert(0, "measure", found.retrieval["measure"])
    tables = {
        "trainings": PaperTable(over, f"Retrieval over {count(n, 'training')}", note, NUMERIC),
        "trainings_each": _each(found),
    }
    if found.probing is not None:
        probes = found.probing
        most = probes[probes["passages"] == probes["passages"].max()].reset_index(drop=True)
        printed = _printed(most, found)
        printed.insert(0, "probe", most["probe"])
        printed.insert(1, "layer", [subject.layer_label(int(k)) for k in most["layer"]])
        caption = f"Probes over {count(n, 'training')}, N = {int(most['passages'].max())}"
        tables["trainings_probing"] = PaperTable(printed, caption, note, NUMERIC)
    return tables


def _printed(frame: pd.DataFrame, found: TrainingsResult) -> pd.DataFrame:
    return pd.DataFrame(
        {
            BEFORE: [score(v) for v in frame[BEFORE]],
            AFTER: [score(v) for v in frame[AFTER]],
            "effect": [signed(r["effect"]) + marks(r["p_corrected"], found.alpha) for _, r in frame.iterrows()],
            "interval": [effect_limits(row) for _, row in frame.iterrows()],
            "p": [p_value(p).removeprefix("p ").removeprefix("= ") for p in frame["p_corrected"]],
            "sd over trainings": [score(v) for v in frame["spread"]],
        },
        dtype=object,
    )


def _each(found: TrainingsResult) -> PaperTable:
    frame = rows(found.each)
    printed = pd.DataFrame(
        {
            "training": frame["training"],
            "measure": frame["measure"],
            "mean": [f"{score(r[AFTER])} {interval(r['after_low'], r['after_high'])}" for _, r in frame.iterrows()],
            "effect": [f"{signed(r['effect'])} {effect_limits(r)}" for _, r in frame.iterrows()],
        },
        dtype=object,
    )
    note = f"Intervals: {100 * found.level:g} %, of each training alone, over queries."
    return PaperTable(printed, "Retrieval of each training", note, ("mean", "effect"))
