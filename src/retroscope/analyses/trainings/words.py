"""Several trainings in words and tables: does what one training shows hold for the next?"""

from typing import Any

import pandas as pd

from retroscope.analyses.trainings.result import TrainingFindings
from retroscope.study.findings import Findings
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.numbers import count, interval, marks, p_value, score, signed
from retroscope.typesetting.statements import CHANGED, NO_EVIDENCE, Statement
from retroscope.typesetting.subject import AFTER, BEFORE
from retroscope.typesetting.words import effect_limits

TOPIC = "trainings"
OF_THIS = " The interval and p are of this training alone, over queries; see those over trainings below."
NUMERIC = (BEFORE, AFTER, "effect", "interval", "p", "sd over trainings")


def training_statements(findings: Findings) -> list[Statement]:
    """Return what holds over all trainings: retrieval by the headline, and every probe by layer."""
    found = findings.trainings
    if found is None:
        return []
    said = [_retrieval(findings, found), *_probes(findings, found)]
    return [s.doubted(*found.each.after.warnings) for s in said]


def _retrieval(findings: Findings, found: TrainingFindings) -> Statement:
    measure = findings.primary_measure
    row = _row(found.retrieval, measure=measure)
    own = rows(found.each, measure=measure).set_index("training")
    parts = [f"{name} {score(own[AFTER][name])} ({signed(own['effect'][name])})" for name in found.names]
    tested = f"{signed(row['effect'])} {effect_limits(row)}, {p_value(row['p_corrected'])}"
    sides = f"{measure} from {score(row[BEFORE])} to a mean of {score(row[AFTER])}"
    significant = row["p_corrected"] < _alpha(found)
    verb = "raised" if row["effect"] > 0 else "lowered"
    claim = f"fine-tuning {verb} {sides}" if significant else f"no evidence that fine-tuning changes {measure}: {sides}"
    text = (
        f"Over {count(len(found.names), 'training')} and their queries together, {claim}: {tested}. "
        f"Each training: {', '.join(parts)}."
    )
    return Statement(TOPIC, CHANGED if significant else NO_EVIDENCE, text)


def _probes(findings: Findings, found: TrainingFindings) -> list[Statement]:
    """Every probe at its largest N: in how many layers accuracy changed, and where most."""
    if found.probing is None:
        return []
    said = []
    for probe in dict.fromkeys(found.probing["probe"]):
        mine = found.probing[found.probing["probe"] == probe]
        mine = mine[mine["passages"] == mine["passages"].max()].reset_index(drop=True)
        changed = mine[mine["p_corrected"] < _alpha(found)]
        gains = int((changed["effect"] > 0).sum())
        most = mine.loc[mine["effect"].abs().idxmax()]
        text = (
            f"Over {count(len(found.names), 'training')} and their queries together, the probe {probe} "
            f"(N = {int(most['passages'])}) gains at {gains} of {count(len(mine), 'layer')} and loses at "
            f"{len(changed) - gains}; most at layer {findings.layer_label(int(most['layer']))}: "
            f"{signed(most['effect'])} {effect_limits(most)}, holm-corrected {p_value(most['p_corrected'])}."
        )
        said.append(Statement(TOPIC, CHANGED if len(changed) else NO_EVIDENCE, text))
    return said


def training_frames(findings: Findings) -> dict[str, pd.DataFrame]:
    """Return every number over trainings, and of each training."""
    found = findings.trainings
    if found is None:
        return {}
    frames = {"trainings": found.retrieval, "trainings_each": rows(found.each)}
    return frames if found.probing is None else {**frames, "trainings_probing": found.probing}


def training_tables(findings: Findings) -> dict[str, PaperTable]:
    """Return the tables that a paper prints: over trainings, of each, and of the probes by layer."""
    found = findings.trainings
    if found is None:
        return {}
    n = len(found.names)
    note = (
        f"Intervals: {100 * found.level:g} %, over {count(n, 'training')} and their queries together, not corrected; p "
        f"is corrected (Holm; the headline is a family of its own). *, **, ***: p below {_alpha(found):g}, "
        f"{_alpha(found) / 5:g}, {_alpha(found) / 50:g}."
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
        printed.insert(1, "layer", [findings.layer_label(int(k)) for k in most["layer"]])
        caption = f"Probes over {count(n, 'training')}, N = {int(most['passages'].max())}"
        tables["trainings_probing"] = PaperTable(printed, caption, note, NUMERIC)
    return tables


def _printed(frame: pd.DataFrame, found: TrainingFindings) -> pd.DataFrame:
    alpha = _alpha(found)
    return pd.DataFrame(
        {
            BEFORE: [score(v) for v in frame[BEFORE]],
            AFTER: [score(v) for v in frame[AFTER]],
            "effect": [signed(r["effect"]) + marks(r["p_corrected"], alpha) for _, r in frame.iterrows()],
            "interval": [effect_limits(row) for _, row in frame.iterrows()],
            "p": [p_value(p).removeprefix("p ").removeprefix("= ") for p in frame["p_corrected"]],
            "sd over trainings": [score(v) for v in frame["spread"]],
        },
        dtype=object,
    )


def _each(found: TrainingFindings) -> PaperTable:
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


def _alpha(found: TrainingFindings) -> float:
    return round(1 - found.level, 12)


def _row(frame: pd.DataFrame, **labels: Any) -> "pd.Series[Any]":
    for dim, label in labels.items():
        frame = frame[frame[dim] == label]
    return frame.iloc[0]
