"""What the probes say: where the retriever's own question is read, and what explains it."""

from typing import Any

import pandas as pd

from retroscope.analyses.probes.controls import widened
from retroscope.study.findings import Findings
from retroscope.typesetting.frames import PLAIN, alpha, by_side, hardest, own_rows, probe_rows
from retroscope.typesetting.numbers import count, interval, p_value, score, signed
from retroscope.typesetting.statements import CAUTION, CHANGED, EQUIVALENT, NO_EVIDENCE, NOTE, Statement
from retroscope.typesetting.subject import AFTER, BEFORE
from retroscope.typesetting.words import best, effect_limits, is_equivalent, layer, limits

BLIND = "passage_only"
MINED = {"bm25": "BM25", "run": "a run"}
REASONS = {
    "with_answer": "ranked passages that hold an answer of their query",
    "of_same_text": "that are relevant to another query with the same text",
}


def own_question(findings: Findings) -> list[Statement]:
    """Where does the retriever's own question, its similarity as a probe, become readable?"""
    if findings.probing is None:
        return []
    name, own, n = findings.after.similarity, own_rows(findings), hardest(findings.probing)
    if own.empty:
        return [Statement("probing", CAUTION, f"The retriever's own question ({name}) was not probed.", ())]
    opening = f"The retriever's own question ({name}, N={n}, chance {score(1 / n)})"
    said = [_where(findings, opening, own), _peaks(findings, opening, own)]
    return [*said, *below_chance(findings, own), *screened(findings)]


def below_chance(findings: Findings, own: pd.DataFrame) -> list[Statement]:
    """Say where the similarity prefers the negatives: below chance by intervals that hold together over the layers."""
    if findings.probing is None:
        return []
    chance = 1 / hardest(findings.probing)
    cells = widened(by_side(own, ["layer"]), alpha(findings.probing))
    low = cells[cells["high"] < chance]
    if low.empty:
        return []
    worst = low.loc[low["value"].idxmin()]
    text = (
        f"Below chance: {findings.after.similarity} prefers the hard negatives to the judged passage in "
        f"{len(low)} of {count(len(cells), 'cell')} (side and layer). The least is "
        f"{score(worst['value'])} {interval(worst['low'], worst['high'])} {worst['side']}, at layer "
        f"{findings.layer_label(int(worst['layer']))}, where chance is {score(chance)}. {_why_below(findings)} "
        "So these values do not show how readable relevance is; compare them with one another only."
    )
    return [Statement("probing", CAUTION, text, tuple(sorted(set(low["side"]), reverse=True)))]


def _why_below(findings: Findings) -> str:
    """How the negatives were found, and whether answers could screen them."""
    negatives = findings.collection.negatives
    if negatives.get("how") not in MINED:
        return "Negatives of the source are nearer to the queries than the judged passages."
    known = int(negatives.get("left_out", {}).get("answered", 0))
    screen = f"the answers of {known:,} queries screened them" if known else "the source gives no answers to screen by"
    return (
        f"The negatives are passages that {MINED[negatives['how']]} ranks high and nobody judged: those that are "
        f"relevant count as wrong ({screen})."
    )


def screened(findings: Findings) -> list[Statement]:
    """Say how many ranked passages are no negatives because they may be relevant."""
    left_out = findings.collection.negatives.get("left_out", {})
    found = {REASONS[name]: int(left_out[name]) for name in REASONS if left_out.get(name)}
    if not found:
        return []
    parts = " and ".join(f"{n:,} {reason}" for reason, n in found.items())
    return [Statement("probing", NOTE, f"Left out of the hard negatives: {parts}.", ())]


def _where(findings: Findings, opening: str, own: pd.DataFrame) -> Statement:
    if findings.probing is None:
        raise ValueError("the retriever's own question needs probing findings")
    changed = own[own["p_corrected"] < alpha(findings.probing)]
    gains = changed[changed["effect"] > 0]
    undecided = own.drop(index=changed.index)
    equal = sum(is_equivalent(row) for _, row in undecided.iterrows())
    rest = f"{equal} equivalent, {len(undecided) - equal} without evidence either way"
    if changed.empty:
        tone = EQUIVALENT if equal == len(own) else NO_EVIDENCE
        text = f"{opening}: a difference is shown at none of {count(len(own), 'layer')} ({rest})."
        return Statement("probing", tone, text)
    tally = f"Of {count(len(own), 'layer')}, {len(gains)} gain and {len(changed) - len(gains)} lose; {rest}."
    return Statement("probing", CHANGED, f"{opening} {_onset(findings, gains)}. {tally}")


def _onset(findings: Findings, gains: pd.DataFrame) -> str:
    if gains.empty:
        return "is read better at no layer after fine-tuning, and worse at some"
    first, largest = gains.iloc[0], best(gains, "effect")
    text = f"is first read better at {_gain(findings, first)}"
    return text if largest["layer"] == first["layer"] else f"{text}; the largest gain is at {_gain(findings, largest)}"


def _gain(findings: Findings, row: "pd.Series[Any]") -> str:
    sides = f"{score(row[BEFORE])} to {score(row[AFTER])}"
    effect = f"{signed(row['effect'])} {effect_limits(row)}, {p_value(row['p_corrected'])}"
    return f"{layer(findings, row)} ({sides}, {effect})"


def _peaks(findings: Findings, opening: str, own: pd.DataFrame) -> Statement:
    tops = {side: best(own, side) for side in (BEFORE, AFTER)}
    parts = [f"at {layer(findings, row)} {side} ({score(row[side])} {limits(row, side)})" for side, row in tops.items()]
    return Statement("probing", NOTE, f"{opening} peaks {parts[0]} and {parts[1]}.")


def passage_only(findings: Findings) -> list[Statement]:
    """Does a probe that never reads the query explain what is read at the peak?"""
    own = own_rows(findings)
    if own.empty or findings.probing is None:
        return []
    peak = best(own, AFTER)
    n = hardest(findings.probing)
    blind = probe_rows(findings, probe=BLIND, control=PLAIN, passages=n, layer=peak["layer"])
    if blind.empty:
        text = f"{BLIND} was not probed: how much can be read without the query is unknown."
        return [Statement("probing", CAUTION, text, ())]
    return [_explained(findings, peak, blind.iloc[0])]


def _explained(findings: Findings, peak: "pd.Series[Any]", blind: "pd.Series[Any]") -> Statement:
    name = findings.after.similarity
    sizes = (
        f"at {layer(findings, peak)} {BLIND} reads {score(blind[AFTER])} {limits(blind, AFTER)} "
        f"and {name} {score(peak[AFTER])} {limits(peak, AFTER)}"
    )
    if blind[f"{AFTER}_high"] >= peak[f"{AFTER}_low"]:
        text = f"A probe that never reads the query may explain this: {sizes}. Relevance is not shown to be readable."
        return Statement("probing", CAUTION, text)
    text = (
        f"Reading the passage alone does not reach this: {sizes}. There {BLIND} moved by {signed(blind['effect'])} "
        f"{effect_limits(blind)} and {name} by {signed(peak['effect'])} {effect_limits(peak)}{_share(blind, peak)}."
    )
    return Statement("probing", NOTE, text)


def _share(blind: "pd.Series[Any]", peak: "pd.Series[Any]") -> str:
    """How much of a gain the passages alone can explain; nothing is said where no gain is shown."""
    if not peak["ci_low"] > 0:
        return ""
    if not blind["ci_low"] > 0:
        return ": nothing shows that the passages alone explain any of the gain"
    if blind["ci_high"] < peak["ci_low"]:
        return ": the passages alone explain a part of the gain at the most"
    return ": the passages alone may explain the gain"
