"""Tables of the effects over several training runs."""

import pandas as pd

from retroscope.analyses.training_runs.result import TrainingsResult
from retroscope.number_format import count, exact_percent, interval, marks, p_number, score, signed
from retroscope.typesetting.effect_words import effect_limits
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

NUMERIC = (BEFORE, AFTER, "effect", "interval", "p", "sd over trainings")


def training_tables(result: TrainingsResult, subject: Subject) -> dict[str, PaperTable]:
    """Return tables of retrieval over all training runs, retrieval of each run, and probe accuracy by layer."""
    n = len(result.names)
    note = (
        f"Intervals ({exact_percent(result.level)}) are over {count(n, 'training')} and their queries, and are not "
        "corrected. p is Holm-corrected; the headline measure is tested on its own. *, **, ***: p below "
        f"{result.alpha:g}, {result.alpha / 5:g}, {result.alpha / 50:g}."
    )
    over = _printed(result.retrieval, result)
    over.insert(0, "measure", result.retrieval["measure"])
    tables = {
        "trainings": PaperTable(over, f"Retrieval over {count(n, 'training run')}", note, NUMERIC),
        "trainings_each": _each(result),
    }
    if result.probing is not None:
        probes = result.probing
        most = probes[probes["passages"] == probes["passages"].max()].reset_index(drop=True)
        printed = _printed(most, result)
        printed.insert(0, "probe", most["probe"])
        printed.insert(1, "layer", [subject.layer_label(int(k)) for k in most["layer"]])
        caption = f"Probes over {count(n, 'training')}, N = {int(most['passages'].max())}"
        tables["trainings_probing"] = PaperTable(printed, caption, note, NUMERIC)
    return tables


def _printed(frame: pd.DataFrame, result: TrainingsResult) -> pd.DataFrame:
    return pd.DataFrame(
        {
            BEFORE: [score(v) for v in frame[BEFORE]],
            AFTER: [score(v) for v in frame[AFTER]],
            "effect": [signed(r["effect"]) + marks(r["p_corrected"], result.alpha) for _, r in frame.iterrows()],
            "interval": [effect_limits(row) for _, row in frame.iterrows()],
            "p": [p_number(p) for p in frame["p_corrected"]],
            "sd over trainings": [score(v) for v in frame["spread"]],
        },
        dtype=object,
    )


def _each(result: TrainingsResult) -> PaperTable:
    frame = rows(result.each)
    printed = pd.DataFrame(
        {
            "training": frame["training"],
            "measure": frame["measure"],
            "mean": [f"{score(r[AFTER])} {interval(r['after_low'], r['after_high'])}" for _, r in frame.iterrows()],
            "effect": [f"{signed(r['effect'])} {effect_limits(r)}" for _, r in frame.iterrows()],
        },
        dtype=object,
    )
    note = f"Intervals: {exact_percent(result.level)}, for each training alone, over queries."
    return PaperTable(printed, "Retrieval of each training", note, ("mean", "effect"))
