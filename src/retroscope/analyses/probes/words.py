"""Statements about the probes: at which layers the similarity probe is accurate, and what may explain it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from retroscope.analyses.probes.result import ROUNDING, ProbesResult
from retroscope.number_format import count, interval, score, signed, tied_p
from retroscope.probing.records import ProbeRecord
from retroscope.typesetting.effect_words import (
    best,
    effect_limits,
    estimate_of,
    layer,
    limits,
    most_changed,
    side_score,
)
from retroscope.typesetting.frames import PLAIN, alpha, by_side, widened
from retroscope.typesetting.statements import Estimate, Kind, State, Statement, is_equivalent
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

BLIND = "passage_only"
WITHOUT = "without the final norm"
NEGATIVES = {  # how they were found, in words
    "bm25": "the passages that BM25 ranks highest among those not judged relevant",
    "run": "the passages of a given run that are not judged relevant",
    "given": "the passages that the data supply as negatives",
}
MINED = {"bm25": "BM25", "run": "a run"}
REASONS: Mapping[Literal["with_answer", "of_same_text"], str] = {
    "with_answer": "ranked passages that contain an answer to their query",
    "of_same_text": "passages that are relevant to another query with the same text",
}


def negatives(subject: Subject) -> str:
    """Return words for how the hard negatives were found, or "" if that is unknown."""
    return NEGATIVES.get(subject.collection.negatives.get("how", ""), "")


def similarity_probe(result: ProbesResult, subject: Subject) -> list[Statement]:
    """State at which layer the similarity probe, which compares vectors as the retriever does, is most accurate."""
    if result.effect is None:
        return []
    by_layer, n = result.similarity_rows(), result.hardest
    if by_layer.empty:
        text = f"The similarity probe ({result.similarity}) was not run."
        return [Statement("probing", State.NOT_RUN, text, (), code="similarity", caution=True)]
    opening = f"The similarity probe ({result.similarity}, N={n}, chance {score(1 / n)})"
    level = alpha(result.effect)
    return [
        _where(subject, opening, by_layer, level),
        _peaks(subject, opening, by_layer),
        *below_chance(result, subject, by_layer),
        *screened(subject),
    ]


def below_chance(result: ProbesResult, subject: Subject, by_layer: pd.DataFrame) -> list[Statement]:
    """State at which layers the similarity probe prefers the negatives, so that accuracy is below chance."""
    if result.effect is None:
        return []
    chance = 1 / result.hardest
    cells = widened(by_side(by_layer, ["layer"]), alpha(result.effect))
    low = cells[cells["high"] < chance - ROUNDING]
    if low.empty:
        return []
    worst = low.loc[low["value"].idxmin()]
    text = (
        f"Below chance: the similarity probe ({result.similarity}) prefers hard negatives to the judged passage in "
        f"{len(low)} of {count(len(cells), 'combination')} of model and layer. The lowest accuracy is "
        f"{score(worst['value'])} {interval(worst['low'], worst['high'])} {worst['side']} fine-tuning, at layer "
        f"{subject.layer_label(int(worst['layer']))}; chance is {score(chance)}. {_why_below(subject)} These "
        "accuracies below chance do not measure how readable relevance is: compare them only with one another."
    )
    sides = tuple(sorted(set(low["side"]), reverse=True))
    number = Estimate(f"accuracy of {result.similarity} {worst['side']}", worst["value"], worst["low"], worst["high"],
                      kind=Kind.SCORE)  # fmt: skip
    return [Statement("probing", State.MEASURED, text, sides, code="below_chance", estimate=number, caution=True)]


def _why_below(subject: Subject) -> str:
    """Return what may explain accuracies below chance: how negatives were found, and if known answers removed some."""
    negatives = subject.collection.negatives
    if negatives.get("how") not in MINED:
        return "The supplied negatives are more similar to the queries than the relevant passages are."
    known = negatives.get("left_out", {}).get("answered", 0)
    screen = (
        f"known answers of {known:,} queries were used to remove unjudged relevant passages"
        if known
        else "the data have no known answers to find unjudged relevant passages"
    )
    return (
        f"The negatives are passages that {MINED[negatives['how']]} ranks high and that are not judged relevant. So a "
        f"relevant passage without a judgment counts as a wrong answer ({screen})."
    )


def screened(subject: Subject) -> list[Statement]:
    """State how many passages were left out of the hard negatives because they may be relevant."""
    left_out = subject.collection.negatives.get("left_out", {})
    passed_over = {REASONS[name]: left_out[name] for name in REASONS if left_out.get(name)}
    if not passed_over:
        return []
    parts = " and ".join(f"{n:,} {reason}" for reason, n in passed_over.items())
    text = f"The hard negatives leave out {parts}, because these may be relevant."
    return [Statement("probing", State.MEASURED, text, (), code="left_out")]


def _where(subject: Subject, opening: str, by_layer: pd.DataFrame, level: float) -> Statement:
    changed = by_layer[by_layer["p_corrected"] < level]
    gains = changed[changed["effect"] > 0]
    undecided = by_layer.drop(index=changed.index)
    equal = sum(is_equivalent(row) for _, row in undecided.iterrows())
    rest = f"{len(undecided) - equal} are undecided"
    if undecided["p_equivalence"].notna().any():
        rest = f"{equal} are equivalent and {rest}"
    largest = most_changed(by_layer, level)
    number = estimate_of(largest, f"accuracy at {layer(subject, largest)}")
    about: Any = {"code": "onset", "estimate": number, "figure": "similarity_probe"}
    if changed.empty:
        state = State.EQUIVALENT if equal == len(by_layer) else State.NOT_SIGNIFICANT
        text = (
            f"{opening} shows no significant difference between the models at any of {count(len(by_layer), 'layer')} "
            f"({rest})."
        )
        return Statement("probing", state, text, **about)
    losses = len(changed) - len(gains)
    tally = (
        f"Accuracy rises significantly at {len(gains)} of {count(len(by_layer), 'layer')} and falls significantly at "
        f"{losses} (of the other layers, {rest})."
    )
    return Statement("probing", State.SIGNIFICANT, f"{opening} {_onset(subject, gains)}. {tally}", **about)


def _onset(subject: Subject, gains: pd.DataFrame) -> str:
    if gains.empty:
        return "gains accuracy significantly at no layer with fine-tuning, and loses accuracy significantly at some"
    first, largest = gains.iloc[0], best(gains, "effect")
    text = f"gains accuracy with fine-tuning; the lowest layer with a significant gain is {_gain(subject, first)}"
    return text if largest["layer"] == first["layer"] else f"{text}; the largest gain is at {_gain(subject, largest)}"


def _gain(subject: Subject, row: "pd.Series[Any]") -> str:
    sides = f"accuracy {score(row[BEFORE])} to {score(row[AFTER])}"
    effect = f"{signed(row['effect'])} {effect_limits(row)}, corrected {tied_p(row['p_corrected'])}"
    return f"{layer(subject, row)} ({sides}, {effect})"


def _peaks(subject: Subject, opening: str, by_layer: pd.DataFrame) -> Statement:
    tops = {side: best(by_layer, side) for side in (BEFORE, AFTER)}
    parts = [
        f"at {layer(subject, row)} {side} fine-tuning (accuracy {score(row[side])} {limits(row, side)})"
        for side, row in tops.items()
    ]
    text = f"{opening} is most accurate {parts[0]} and {parts[1]}."
    peak = tops[AFTER]
    number = side_score(peak, AFTER, f"accuracy at {layer(subject, peak)}")
    return Statement("probing", State.MEASURED, text, code="peaks", estimate=number, figure="similarity_probe")


def passage_only_statements(result: ProbesResult, subject: Subject) -> list[Statement]:
    """State whether a probe that never reads the query is as accurate as the similarity probe at its best layer."""
    by_layer = result.similarity_rows()
    if by_layer.empty:
        return []
    peak = best(by_layer, AFTER)
    blind = result.rows(probe=BLIND, control=PLAIN, passages=result.hardest, layer=peak["layer"])
    if blind.empty:
        text = f"{BLIND} was not probed, so the accuracy without the query is unknown."
        return [Statement("probing", State.NOT_RUN, text, (), code="passage_only", caution=True)]
    return [_explained(result.similarity, subject, peak, blind.iloc[0])]


def _explained(name: str, subject: Subject, peak: "pd.Series[Any]", blind: "pd.Series[Any]") -> Statement:
    sizes = (
        f"at {layer(subject, peak)} after fine-tuning, {BLIND} reaches an accuracy of {score(blind[AFTER])} "
        f"{limits(blind, AFTER)} and {name} {score(peak[AFTER])} {limits(peak, AFTER)}"
    )
    number = side_score(blind, AFTER, f"accuracy of {BLIND}")
    about: Any = {"code": "passage_only", "estimate": number, "control": BLIND, "figure": "probes"}
    if blind[f"{AFTER}_high"] >= peak[f"{AFTER}_low"]:
        text = (
            f"A probe that never reads the query may be as accurate as the similarity probe: {sizes}. So there is no "
            "evidence that relevance is readable."
        )
        return Statement("probing", State.NOT_SIGNIFICANT, text, caution=True, **about)
    text = (
        f"A probe that never reads the query does not reach the accuracy of the similarity probe: {sizes}. Fine-tuning "
        f"changed the accuracy of {BLIND} by {signed(blind['effect'])} {effect_limits(blind)} and that of {name} by "
        f"{signed(peak['effect'])} {effect_limits(peak)}.{_share(blind, peak)}"
    )
    return Statement("probing", State.MEASURED, text, **about)


def _share(blind: "pd.Series[Any]", peak: "pd.Series[Any]") -> str:
    """State how much of a gain the passages alone can explain; "" if the gain is not significant."""
    if not peak["ci_low"] > 0:
        return ""
    if not blind["ci_low"] > 0:
        return " There is no evidence that the passages alone explain any of this gain in accuracy."
    if blind["ci_high"] < peak["ci_low"]:
        return " The passages alone explain at most a part of this gain in accuracy."
    return " The passages alone may explain this gain in accuracy."


def below_chance_alone(records: Sequence[ProbeRecord], similarity: str) -> list[Statement]:
    """Return a caution if a single model's similarity probe is below chance at some layer.

    The accuracies are those with the largest number of candidates N.
    """
    largest = max((r["n_passages"] for r in records), default=0)  # 0: only code lengths were measured
    low = [
        r
        for r in records
        if (r["probe"], r["control"], r["n_passages"]) == (similarity, PLAIN, largest)
        and r["ci_high"] < 1 / largest - ROUNDING
    ]
    if not low:
        return []
    worst = min(low, key=lambda r: float(r["accuracy"]))
    text = (
        f"The similarity probe ({similarity}) is below chance at {count(len(low), 'layer')} (lowest accuracy: "
        f"{worst['accuracy']:.3f} at layer {worst['layer']}; chance is {1 / largest:.3f}). Hard negatives are more "
        "similar to the query than the relevant passage; some of them may be relevant but unjudged."
    )
    return [Statement("probing", State.MEASURED, text, (), code="below_chance", caution=True)]
