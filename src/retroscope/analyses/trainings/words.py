"""Several trainings in words: does what one training shows hold for the next?"""

from typing import Any

import pandas as pd

from retroscope.analyses.trainings.result import TrainingsResult
from retroscope.typesetting.frames import rows
from retroscope.typesetting.numbers import count, p_value, score, signed
from retroscope.typesetting.statements import CHANGED, NO_EVIDENCE, Statement
from retroscope.typesetting.subject import AFTER, BEFORE, Subject
from retroscope.typesetting.words import effect_limits

TOPIC = "trainings"


def statements(found: TrainingsResult, subject: Subject) -> tuple[Statement, ...]:
    """Return what holds over all trainings: retrieval by the headline, and every probe by layer."""
    made = [_retrieval(found, subject.measures[0]), *_probes(found, subject)]
    return tuple(s.doubted(*found.each.after.warnings) for s in made)


def _retrieval(found: TrainingsResult, measure: str) -> Statement:
    row = _row(found.retrieval, measure=measure)
    own = rows(found.each, measure=measure).set_index("training")
    parts = [f"{name} {score(own[AFTER][name])} ({signed(own['effect'][name])})" for name in found.names]
    tested = f"{signed(row['effect'])} {effect_limits(row)}, {p_value(row['p_corrected'])}"
    sides = f"{measure} from {score(row[BEFORE])} to a mean of {score(row[AFTER])}"
    significant = row["p_corrected"] < found.alpha
    verb = "raised" if row["effect"] > 0 else "lowered"
    claim = f"fine-tuning {verb} {sides}" if significant else f"no evidence that fine-tuning changes {measure}: {sides}"
    text = (
        f"Over {count(len(found.names), 'training')} and their queries together, {claim}: {tested}. "
        f"Each training: {', '.join(parts)}."
    )
    return Statement(TOPIC, CHANGED if significant else NO_EVIDENCE, text)


def _probes(found: TrainingsResult, subject: Subject) -> list[Statement]:
    """Every probe at its largest N: in how many layers accuracy changed, and where most."""
    if found.probing is None:
        return []
    said = []
    for probe in dict.fromkeys(found.probing["probe"]):
        mine = found.probing[found.probing["probe"] == probe]
        mine = mine[mine["passages"] == mine["passages"].max()].reset_index(drop=True)
        changed = mine[mine["p_corrected"] < found.alpha]
        gains = int((changed["effect"] > 0).sum())
        most = mine.loc[mine["effect"].abs().idxmax()]
        text = (
            f"Over {count(len(found.names), 'training')} and their queries together, the probe {probe} "
            f"(N = {int(most['passages'])}) gains at {gains} of {count(len(mine), 'layer')} and loses at "
            f"{len(changed) - gains}; most at layer {subject.layer_label(int(most['layer']))}: "
            f"{signed(most['effect'])} {effect_limits(most)}, holm-corrected {p_value(most['p_corrected'])}."
        )
        said.append(Statement(TOPIC, CHANGED if len(changed) else NO_EVIDENCE, text))
    return said


def _row(frame: pd.DataFrame, **labels: Any) -> "pd.Series[Any]":
    for dim, label in labels.items():
        frame = frame[frame[dim] == label]
    return frame.iloc[0]
