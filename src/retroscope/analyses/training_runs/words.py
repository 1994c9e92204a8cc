"""Statements about several training runs: does the effect of one training run hold for others?"""

from typing import Any

import pandas as pd

from retroscope.analyses.training_runs.result import TrainingsResult
from retroscope.number_format import count, score, signed, tied_p
from retroscope.typesetting.effect_words import effect_limits, estimate_of, most_changed
from retroscope.typesetting.frames import rows
from retroscope.typesetting.statements import State, Statement
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

TOPIC = "trainings"


def statements(result: TrainingsResult, subject: Subject) -> tuple[Statement, ...]:
    """State the effects over all training runs: on the headline measure, and on every probe by layer."""
    sentences = [_retrieval(result, subject.measures[0]), *_probes(result, subject)]
    return tuple(s.doubted(*result.each.after.warnings) for s in sentences)


def _retrieval(result: TrainingsResult, measure: str) -> Statement:
    row = _row(result.retrieval, measure=measure)
    each = rows(result.each, measure=measure).set_index("training")
    parts = [f"{name} {score(each[AFTER][name])} ({signed(each['effect'][name])})" for name in result.names]
    tested = f"{signed(row['effect'])} {effect_limits(row)}, corrected {tied_p(row['p_corrected'])}"
    change = f"from {score(row[BEFORE])} to a mean of {score(row[AFTER])}"
    significant = row["p_corrected"] < result.alpha
    verb = "raised" if row["effect"] > 0 else "lowered"
    claim = (
        f"fine-tuning {verb} {measure} {change}"
        if significant
        else f"fine-tuning does not change {measure} significantly, {change}"
    )
    text = (
        f"Over {count(len(result.names), 'training')} and their queries together, {claim} ({tested}). {measure} (and "
        f"its change) of each training: {', '.join(parts)}."
    )
    state = State.SIGNIFICANT if significant else State.NOT_SIGNIFICANT
    return Statement(TOPIC, state, text, code="retrieval", estimate=estimate_of(row, measure))


def _probes(result: TrainingsResult, subject: Subject) -> list[Statement]:
    """State, for every probe at its largest N, at how many layers accuracy changed, and where most."""
    if result.probing is None:
        return []
    sentences = []
    for probe in dict.fromkeys(result.probing["probe"]):
        by_layer = result.probing[result.probing["probe"] == probe]
        by_layer = by_layer[by_layer["passages"] == by_layer["passages"].max()].reset_index(drop=True)
        changed = by_layer[by_layer["p_corrected"] < result.alpha]
        gains = int((changed["effect"] > 0).sum())
        most = most_changed(by_layer, result.alpha)
        text = (
            f"Over {count(len(result.names), 'training')} and their queries together, the probe {probe} (N = "
            f"{int(most['passages'])}) gains accuracy significantly at {gains} of {count(len(by_layer), 'layer')} and "
            f"loses accuracy significantly at {len(changed) - gains}. The largest change is at layer "
            f"{subject.layer_label(int(most['layer']))}: accuracy {signed(most['effect'])} {effect_limits(most)}, "
            f"Holm-corrected {tied_p(most['p_corrected'])}."
        )
        state = State.SIGNIFICANT if len(changed) else State.NOT_SIGNIFICANT
        number = estimate_of(most, f"accuracy of {probe}")
        sentences.append(Statement(TOPIC, state, text, code=f"probes.{probe}", estimate=number))
    return sentences


def _row(frame: pd.DataFrame, **labels: Any) -> "pd.Series[Any]":
    for dim, label in labels.items():
        frame = frame[frame[dim] == label]
    return frame.iloc[0]
