"""Statements about the baselines: how much of the gain does the best variant of the frozen backbone reach?"""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from retroscope.analyses.baselines.result import BM25, HEAD, RANDOM, TRAINED, UNTRAINED, BaselineResult
from retroscope.number_format import count, interval, percent_interval, score, signed, tied_p
from retroscope.statistics import Difference
from retroscope.typesetting.effect_words import effect_limits, estimate_of
from retroscope.typesetting.frames import alpha, correction, rows
from retroscope.typesetting.statements import Estimate, State, Statement
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

TOPIC = "already there"
HOW = {UNTRAINED: "without training", TRAINED: "with a linear head trained on its frozen vectors"}
CODES = {UNTRAINED: "left", TRAINED: "left_by_head"}
LEAK = 5  # the control must be this many times as improbable as a finding: it is an alarm


def baseline_statements(result: BaselineResult, subject: Subject) -> tuple[Statement, ...]:
    """State the retriever's gain over the best variants of the frozen backbone, and the outcomes of the controls."""
    measure = subject.measures[0]
    if rows(result.left, measure=measure).empty:
        return ()
    left = [_left(result, best, subject) for best in result.bests]
    return (*left, _alike(result, measure), *_pre_training(result, measure), *_shuffled(result, measure))


def _left(result: BaselineResult, best: str, subject: Subject) -> Statement:
    """State the difference between the retriever and a best variant of its backbone, and the share of the gain."""
    measure = subject.measures[0]
    row = _row(result.left, best, measure)
    tested = _tested(result.left, row)
    text = (
        f"The best variant of the backbone {HOW[best]} reaches {measure} {score(row[BEFORE])}. "
        f"{_variant(result, best, subject)} The retriever reaches {measure} {score(row[AFTER])} (difference {tested})."
    )
    words = _words(result, measure) if best == result.bests[0] else ""
    about: Any = {"code": CODES[best], "estimate": estimate_of(row, measure), "figure": "baselines"}
    significant = row["p_corrected"] < alpha(result.left)
    if significant and row["effect"] < 0:
        lost = "So the retriever scores lower than the best variant of its backbone."
        return Statement(TOPIC, State.SIGNIFICANT, f"{text} {lost}{words}", **about)
    share = _share(result, best, measure)
    if significant:
        return Statement(TOPIC, State.SIGNIFICANT, f"{text}{share}{words}", **about)
    return Statement(TOPIC, State.NOT_SIGNIFICANT, f"{text} This difference is not significant.{share}{words}", **about)


def _words(result: BaselineResult, measure: str) -> str:
    """Return a sentence with the score of BM25 on the same queries."""
    row = result.variants[(result.variants["model"] == BM25) & (result.variants["measure"] == measure)].iloc[0]
    return f" BM25 reaches {measure} {score(row['mean'])} {interval(row['ci_low'], row['ci_high'])}."


def _variant(result: BaselineResult, best: str, subject: Subject) -> str:
    """Describe the variant that was chosen as `best`, and in how many folds it was chosen."""
    choice: Any = result.choice(BEFORE, best)
    folds = "every fold" if choice["folds"] == choice["of"] else f"{choice['folds']} of {choice['of']} folds"
    name = variant_name(choice, subject)
    if choice["as_compared"]:
        kinds = (
            count(result.tried[BEFORE], "variant")
            if best == UNTRAINED
            else ("all variants, with and without a linear head,")
        )
        return (
            f"This variant is the backbone as in the rest of the report ({name}): in {folds} of the queries, none of "
            f"{kinds} scored higher by more than a standard error."
        )
    of = f" of {count(result.tried[BEFORE], 'variant')}" if best == UNTRAINED else ""
    listed = variant_name(choice, subject, last=" and ")
    return f"It uses {listed}. For {folds}, this variant was the best{of} on the queries of all other folds."


def variant_name(row: Any, subject: Subject, last: str = ", ") -> str:
    """Describe a pooling, a layer and a kind of vectors, e.g. "mean pooling, layer 3, whitened vectors".

    Args:
        last: separator between the layer and the kind of vectors.
    """
    vectors = "a linear head" if row["vectors"] == HEAD else f"{row['vectors']} vectors"
    return f"{row['pooling']} pooling, layer {subject.layer_label(int(row['layer']))}{last}{vectors}"


def _share(result: BaselineResult, best: str, measure: str) -> str:
    """State the share of the gain that the best variant does not reach, or return "" without a significant gain."""
    whole = rows(result.gain, measure=measure).iloc[0]
    if not (whole["p_corrected"] < alpha(result.gain) and whole["effect"] > 0):
        return ""
    shares, gain = result.shares, f"the retriever's gain over the backbone ({signed(whole['effect'])} in {measure})"
    row = shares[(shares["best"] == best) & (shares["measure"] == measure)].iloc[0]
    if math.isnan(row["share"]):
        return f" The share of {gain} that is attributed to fine-tuning is undefined: its interval is unbounded."
    if row["share"] == row["low"] == row["high"] == 1:  # the backbone as compared is its own best
        return f" So the whole of {gain} is attributed to fine-tuning."
    return f" So {share_left(row)} of {gain} is attributed to fine-tuning."


def share_left(row: Any) -> str:
    """Format the share of the gain that the backbone's best variant does not reach, with its interval, in per cent."""
    if math.isnan(row["share"]):
        return "undefined (the gain may be 0)"
    return percent_interval(row["share"], row["low"], row["high"])


def _alike(result: BaselineResult, measure: str) -> Statement:
    """State the difference between the best variant of the backbone and that of the retriever."""
    effects, significant = _each_best(result, result.alike, measure)
    text = f"From the best variant of the backbone to the best variant of the retriever, {measure} changes {effects}."
    state = State.SIGNIFICANT if significant else State.NOT_SIGNIFICANT
    return Statement(
        TOPIC, state, text, code="alike", estimate=_last(result, result.alike, measure), figure="baselines"
    )


def _pre_training(result: BaselineResult, measure: str) -> Iterator[Statement]:
    """State how the best variant of a random-weight copy (word overlap only) differs from that of the backbone."""
    if result.pre_training is None:
        return
    effects, significant = _each_best(result, result.pre_training, measure)
    text = (
        f"A copy of the backbone with {RANDOM} shows what word overlap alone achieves. From the best variant of this "
        f"copy to the best variant of the backbone, {measure} changes {effects}."
    )
    number = _last(result, result.pre_training, measure)
    state = State.SIGNIFICANT if significant else State.NOT_SIGNIFICANT
    yield Statement(TOPIC, state, text, (BEFORE,), code="pre_training", estimate=number, figure="baselines")


def _shuffled(result: BaselineResult, measure: str) -> Iterator[Statement]:
    """State whether the control fails as it must: a linear head trained on shuffled judgments."""
    if result.shuffled is None:
        return
    row = rows(result.shuffled, measure=measure).iloc[0]
    about: Any = {"code": "shuffled", "estimate": estimate_of(row, measure), "control": "shuffled judgments"}
    numbers = (
        f"by these judgments, {measure} is {score(row[BEFORE])} without the head and {score(row[AFTER])} with it, "
        f"{_tested(result.shuffled, row)}"
    )
    if row["effect"] > 0 and row["p_corrected"] < alpha(result.shuffled) / LEAK:
        text = (
            "Control failed: a linear head trained on shuffled judgments predicts shuffled judgments of the other "
            f"folds ({numbers}), so the folds are not independent."
        )
        yield Statement(TOPIC, State.FAILED, text, (BEFORE,), **about)
    else:
        text = (
            "Control passed: a linear head trained on shuffled judgments does not significantly predict shuffled "
            f"judgments of the other folds ({numbers})."
        )
        yield Statement(TOPIC, State.MEASURED, text, (BEFORE,), **about)


def _each_best(result: BaselineResult, difference: Difference, measure: str) -> tuple[str, bool]:
    """Return the differences for all best variants in words, and whether any of them is significant."""
    table = [(best, _row(difference, best, measure)) for best in result.bests]
    words = [
        f"from {score(row[BEFORE])} to {score(row[AFTER])} "
        f"{'without training' if best == UNTRAINED else 'with a linear head'} ({_tested(difference, row)})"
        for best, row in table
    ]
    return ", and ".join(words), any(row["p_corrected"] < alpha(difference) for _, row in table)


def _last(result: BaselineResult, difference: Difference, measure: str) -> Estimate:
    """Return the effect for the last label of the best variants, "linear head allowed" if heads were trained."""
    return estimate_of(_row(difference, result.bests[-1], measure), measure)


def _row(difference: Difference, best: str, measure: str) -> "pd.Series[Any]":
    return rows(difference, best=best, measure=measure).iloc[0]


def _tested(difference: Difference, row: "pd.Series[Any]") -> str:
    corrected = f"{correction(difference)}-corrected {tied_p(row['p_corrected'])}"
    return f"{signed(row['effect'])} {effect_limits(row)}, {corrected}"
