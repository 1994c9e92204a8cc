"""Statements about the facts that can be read before and after fine-tuning."""

import math

from retroscope.analyses.retention.result import (
    HEAD,
    P1,
    REFITTED,
    Association,
    FactControl,
    FactShare,
    RetentionResult,
)
from retroscope.analyses.retention.tables import scope
from retroscope.number_format import count, interval, score, tied_p
from retroscope.statistics.association import OddsRatio
from retroscope.typesetting.effect_words import effect_tests, estimate_of
from retroscope.typesetting.frames import rows
from retroscope.typesetting.statements import Estimate, Kind, State, Statement, state_of
from retroscope.typesetting.subject import AFTER, BEFORE

TOPIC, FIGURE = "facts", "facts_by_layer"
READ_WITH = {
    HEAD: "Read with the backbone's own language-model head",
    REFITTED: "Read with a linear read-out, fitted to each model on the same neutral text",
}
WHOSE = {BEFORE: "the backbone", AFTER: "the retriever"}


def statements(result: RetentionResult) -> tuple[Statement, ...]:
    """State recall before and after fine-tuning, the controls, and whether known facts are found more often."""
    in_order = [_read(result, readout) for readout in result.readouts]
    if HEAD not in result.readouts:
        text = (
            f"The backbone's own language-model head was not used: {result.about['no_head']}. Only the refitted "
            "read-out was measured."
        )
        in_order.append(Statement(TOPIC, State.NOT_RUN, text, (), code="no_head"))
    in_order.append(_controls(result))
    in_order += [_association(association, result) for association in result.associations if not association.stratum]
    return tuple(in_order)


def _read(result: RetentionResult, readout: str) -> Statement:
    row = rows(result.effect, measure=P1, readout=readout, layer=result.last).iloc[0]
    one = result.retained[readout, ""]
    text = (
        f"{READ_WITH[readout]}, the answer comes first among the objects of its relation for a share of "
        f"{score(row[BEFORE])} of the facts before fine-tuning and {score(row[AFTER])} after it "
        f"({effect_tests(result.effect, row)}). Of the {count(one.kept.n, 'fact')} whose answer comes first before "
        f"fine-tuning, {_share(one.kept)} first after it. Of the {one.gained.n:,} other facts, {_share(one.gained)} "
        f"first after it.{scope(result)}"
    )
    state = state_of(result.effect, row)
    number = estimate_of(row, f"{P1} of facts, {readout}")
    return Statement(TOPIC, state, text, code=readout, estimate=number, figure=FIGURE)


def _share(one: FactShare) -> str:
    return "none is" if not one.n else f"a share of {score(one.value)} {interval(one.low, one.high)} is"


def _controls(result: RetentionResult) -> Statement:
    """State that no control gives more correct answers than chance allows, or name the controls that do."""
    failed = [control for control in result.controls if control.failed]
    if not failed:
        highest = max(result.controls, key=lambda control: control.value - control.most_frequent, default=None)
        text = "No control was measured."
        if highest is not None:
            text = (
                f"{count(len(result.controls), 'control')}: none is significantly more accurate than always answering "
                f"the most frequent object of each relation. The control closest to this accuracy is "
                f"{_control_words(highest)}.{scope(result)}"
            )
        return Statement(TOPIC, State.MEASURED, text, code="controls", control="facts", figure=FIGURE)
    text = f"Controls give answers that they cannot know: {'; '.join(map(_control_words, failed))}.{scope(result)}"
    return Statement(TOPIC, State.FAILED, text, code="controls", control="facts", title="Controls of facts")


def _control_words(one: FactControl) -> str:
    return (
        f"{one.name} ({one.side}, {one.readout}) with {P1} {score(one.value)} {interval(one.low, one.high)}, against "
        f"{score(one.most_frequent)} for the most frequent object"
    )


def _association(one: Association, result: RetentionResult) -> Statement:
    """State the share of known and of unknown facts whose passage a model finds, and the odds ratio within strata."""
    within, alike = one.within, "third by popularity and the same third by shared words"
    if any(association.stratum for association in result.associations):
        alike = f"stratum, the same {alike}"
    text = (
        f"{WHOSE[one.side][0].upper()}{WHOSE[one.side][1:]} finds the passage for a share of {score(one.known)} of the "
        f"facts that the backbone knows and of {score(one.unknown)} of the other facts. Among facts of the same "
        f"{alike}: {_odds(within)}."
    )
    if math.isnan(within.value):
        return Statement(TOPIC, State.TOO_FEW, f"{text} No association can be stated.", code=f"found_{one.side}")
    number = Estimate("odds ratio", within.value, within.low, within.high, within.p, within.n, Kind.SCORE)
    state = State.SIGNIFICANT if within.low > 1 or within.high < 1 else State.NOT_SIGNIFICANT
    return Statement(TOPIC, state, text + scope(result), code=f"found_{one.side}", estimate=number)


def _odds(one: OddsRatio) -> str:
    if math.isnan(one.value):
        return f"no odds ratio can be estimated ({count(one.n, 'fact')})"
    return f"odds ratio {one.value:.2f} [{one.low:.2f}, {one.high:.2f}], {tied_p(one.p)} ({count(one.n, 'fact')})"
