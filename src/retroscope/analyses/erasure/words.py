"""Statements about erasure: at which layers retrieval uses the relevance that a probe can read."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from retroscope.analyses.erasure.result import INCONCLUSIVE, UNCLEAR, UNUSED, USED, ErasureResult
from retroscope.number_format import count, interval, score, signed, tied_p
from retroscope.typesetting.effect_words import estimate_of, most_changed
from retroscope.typesetting.frames import rows
from retroscope.typesetting.statements import Estimate, State, Statement
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL, Subject

OPENINGS = {BEFORE: "Before fine-tuning", AFTER: "After fine-tuning", MODEL: "In this model"}


def erasure_statements(result: ErasureResult, subject: Subject) -> tuple[Statement, ...]:
    """State at which layers retrieval uses readable relevance, and what fine-tuning changed about it.

    The statements in between say whether the control with shuffled pairs passed.
    """
    sides = [side for side in (AFTER, BEFORE, MODEL) if side in result.beyond]
    rules = (_used, _unclear, _unused, _inconclusive)
    statements = [s for side in sides for rule in rules for s in rule(result, side, subject)]
    statements += [s for side in sides for s in _control(result, side)]
    return (*statements, *_change(result, subject))


def _used(result: ErasureResult, side: str, subject: Subject) -> Iterator[Statement]:
    """State at how many layers a probe can read relevance, and at which of them retrieval uses it."""
    table = result.by_layer(side)
    used, readable = table[table["use"] == USED], table[table["is_readable"]]
    most = (table if used.empty else used).sort_values("beyond").iloc[0]
    layers = (
        f"At {_layers(used, subject)}, retrieval uses what this probe reads"
        if len(used)
        else "There is no layer at which retrieval significantly uses what this probe reads"
    )
    text = (
        f"{OPENINGS[side]}, a probe can read which passage is relevant to a query at {len(readable)} of "
        f"{count(len(table), 'layer')}. {layers}. {_harm(result, most, subject)}"
    )
    layer = subject.layer_label(int(most["layer"]))
    number = Estimate(f"change of {result.measure} by erasure at layer {layer}, beyond random subspaces",
                      most["beyond"], most["ci_low"], most["ci_high"], p=most["p_corrected"], n=int(most["n"]),
                      before=most["random"], after=most["erased"], collection=result.collection)  # fmt: skip
    state = State.SIGNIFICANT if len(used) else State.NOT_SIGNIFICANT
    yield Statement("erasure", state, text, (side,), code=f"{side}.used", estimate=number, figure="erasure")


def _unclear(result: ErasureResult, side: str, subject: Subject) -> Iterator[Statement]:
    """State at which layers random subspaces of equal variance may harm retrieval as much as the erasure does."""
    table = result.by_layer(side)
    unclear = table[table["use"] == UNCLEAR]
    if len(unclear):
        text = (
            f"{OPENINGS[side]}, erasing what a probe reads at {_layers(unclear, subject)} harms retrieval "
            "significantly more than erasing random subspaces of equal rank, but not significantly more than erasing "
            "random subspaces of equal rank and variance. So the loss may come from how much is erased."
        )
        yield Statement("erasure", State.MEASURED, text, (side,), code=f"{side}.unclear", caution=True)


def _harm(result: ErasureResult, row: "pd.Series[Any]", subject: Subject) -> str:
    """Describe the loss of retrieval by erasing at a layer, and the losses by both kinds of random subspaces."""
    limits = interval(row["ci_low"], row["ci_high"], effect=True)
    return (
        f"Erasing {count(result.rank, 'direction')} at layer {subject.layer_label(int(row['layer']))} changes "
        f"{result.measure} from {score(row['intact'])} to {score(row['erased'])}. With random subspaces of equal rank "
        f"erased, {result.measure} is {score(row['random'])}; with random subspaces of equal rank and variance erased, "
        f"it is {score(row['variance'])}. The difference from random subspaces of equal rank is "
        f"{signed(row['beyond'])} {limits}, Holm-corrected {tied_p(row['p_corrected'])}."
    )


def _unused(result: ErasureResult, side: str, subject: Subject) -> Iterator[Statement]:
    """State at which layers a probe can read relevance, but retrieval does not significantly use it."""
    table = result.by_layer(side)
    idle = table[table["is_readable"] & (table["use"] == UNUSED)]
    if idle.empty:
        return
    best = idle.sort_values("readable").iloc[-1]
    text = (
        f"{OPENINGS[side]}, a probe reads relevance at {_layers(idle, subject)}, but retrieval does not use it "
        f"significantly. At layer {subject.layer_label(int(best['layer']))}, the probe reaches an accuracy of "
        f"{score(best['readable'])} {interval(best['readable_low'], best['readable_high'])} (chance "
        f"{score(result.chance)}) in the intact model and of {score(best['readable_erased'])} after "
        f"{count(result.rank, 'direction')} are erased. Compared with erasing random subspaces, this erasure changes "
        f"{result.measure} by {signed(best['beyond'])} {interval(best['ci_low'], best['ci_high'], effect=True)}."
    )
    yield Statement("erasure", State.NOT_SIGNIFICANT, text, (side,), code=f"{side}.unused", figure="erasure")


def _inconclusive(result: ErasureResult, side: str, subject: Subject) -> Iterator[Statement]:
    """State at which layers the test of erasure is inconclusive, and why."""
    table = result.by_layer(side)
    open_ = table[table["use"] == INCONCLUSIVE]
    if open_.empty:
        return
    reasons = {
        "along the erased directions, held-out queries and passages correlate no more than shuffled pairs": ~open_[
            "is_shared"
        ],
        "the accuracy of the probe does not fall significantly after erasure": ~open_["fell"],
        "random subspaces alone remove more than half of the score, so a larger loss is not measurable": open_[
            "at_floor"
        ],
    }
    listed = "; ".join(f"{reason} ({_layers(open_[at], subject)})" for reason, at in reasons.items() if at.any())
    text = (
        f"{OPENINGS[side]}, the test is inconclusive at {_layers(open_, subject)}: erasing "
        f"{count(result.rank, 'direction')} does not decide whether retrieval uses the relevance that the probe "
        f"reads. Reasons: {listed}."
    )
    yield Statement("erasure", State.MEASURED, text, (side,), code=f"{side}.inconclusive", caution=True)


def _control(result: ErasureResult, side: str) -> Iterator[Statement]:
    """State whether erasing the directions of shuffled pairs does no more harm than erasing random subspaces."""
    table = result.table[result.table["side"] == side]
    about: dict[str, Any] = {"code": f"{side}.shuffled", "control": "shuffled pairs"}
    p, mean = result.alarm[side], -table["shuffled_beyond"].mean()
    if p >= result.level:
        text = (
            f"{OPENINGS[side]}, erasing the directions that shuffled pairs share does not harm retrieval "
            f"significantly more than erasing random subspaces. The mean loss of {result.measure} beyond random "
            f"subspaces is {signed(mean)} over {count(len(table), 'combination')} of layer and rank ({tied_p(p)})."
        )
        yield Statement("erasure", State.MEASURED, text, (side,), **about)
        return
    title = "Erasing what shuffled pairs share harms retrieval"
    text = (
        f"{title} more than erasing random subspaces does. The mean loss of {result.measure} beyond random subspaces "
        f"is {signed(mean)} over {count(len(table), 'combination')} of layer and rank ({tied_p(p)}). So erasure harms "
        "retrieval even if its directions come from unrelated pairs, and the loss from erasing the directions of "
        "relevant pairs is no evidence that retrieval uses relevance."
    )
    yield Statement("erasure", State.FAILED, text, (side,), title=title, **about)


def _change(result: ErasureResult, subject: Subject) -> Iterator[Statement]:
    """State at which layers fine-tuning changed how much retrieval uses the erased directions."""
    if result.use is None:
        return
    table = rows(result.use, rank=result.rank)
    intact = {side: result.by_layer(side)["intact"].iloc[0] for side in (BEFORE, AFTER)}
    sides = (result.by_layer(side) for side in (BEFORE, AFTER))
    used = {layer for side in sides for layer in side.loc[side["use"] == USED, "layer"]}
    changed = table[(table["p_corrected"] < result.level) & table["layer"].isin(used)]
    most = most_changed(table if changed.empty else changed, result.level)
    how_much = "how much retrieval uses the directions that relevant pairs share"
    claim = (
        f"Fine-tuning changed {how_much} at {_layers(changed, subject)}"
        if len(changed)
        else f"Fine-tuning did not significantly change {how_much} at any layer at which either model uses them"
    )
    text = (
        f"{claim}. At layer {subject.layer_label(int(most['layer']))}, the loss of {result.measure} by erasing these "
        f"directions exceeds the loss by erasing random subspaces by {score(most['before'])} before fine-tuning and by "
        f"{score(most['after'])} after it (change {signed(most['effect'])} "
        f"{interval(most['ci_low'], most['ci_high'], effect=True)}, Holm-corrected {tied_p(most['p_corrected'])}). A "
        f"model that retrieves better can lose more: {result.measure} of the intact model is {score(intact[BEFORE])} "
        f"before fine-tuning and {score(intact[AFTER])} after it."
    )
    state = State.SIGNIFICANT if len(changed) else State.NOT_SIGNIFICANT
    name = f"effect of fine-tuning on the extra loss of {result.measure} by erasure, compared with random subspaces"
    number = estimate_of(most, name, result.collection)
    yield Statement("erasure", state, text, code="change", estimate=number, figure="erasure")


def _layers(table: pd.DataFrame, subject: Subject) -> str:
    names = [subject.layer_label(int(layer)) for layer in table["layer"]]
    return f"layer {names[0]}" if len(names) == 1 else f"layers {', '.join(names)}"
