"""Statements about localisation: the block that each instrument points to, and the effect of restoring it."""

import math
from typing import Any

import pandas as pd

from retroscope.analyses.localisation.result import (
    AGREES,
    BLOCKS,
    CONTRADICTED,
    MATTERS,
    UNDECIDED,
    LocalisationResult,
)
from retroscope.numbers import interval, percent_interval, score, signed, tied_p
from retroscope.surgery.transplant import GRAFTED, RESTORED
from retroscope.typesetting.places import place_words
from retroscope.typesetting.statements import Estimate, State, Statement

TOPIC = "localisation"
DONE = {RESTORED: "restored", GRAFTED: "grafted into the backbone"}
ASKED = {  # direction, and whether the whole effect of it is a gain -> the question, and what becomes of retrieval
    (RESTORED, False): ("What does retrieval need?", "loss", "lowers"),
    (GRAFTED, True): ("What is sufficient for the retriever's gain over the backbone?", "gain", "raises"),
    (RESTORED, True): ("What holds retrieval back?", "gain", "raises"),
    (GRAFTED, False): ("What would cause the retriever's loss against the backbone?", "loss", "lowers"),
}
PROBES = "probes"  # the instrument that rests on the probes' controls
ROWS = {
    "weights": "weight drift",
    "representations": "representation drift (CKA)",
    PROBES: "similarity probe",
    "layers": "retrieval by layer",
    "neurons": "neuron attribution",
    GRAFTED: "grafted (share)",
    RESTORED: "restored (share)",
}
ALONE = {
    RESTORED: "Other blocks may compensate",
    GRAFTED: "Perhaps no place suffices alone",
}  # why nothing is shown of one alone
AGREEMENTS = (AGREES, MATTERS, CONTRADICTED, UNDECIDED)  # in the order of reading


def localisation_statements(result: LocalisationResult) -> list[Statement]:
    """State which blocks the instruments name, which are necessary or sufficient, and which instruments agree."""
    kinds = [row for _, row in result.most.iterrows() if row["explained"] or row["kind"] == BLOCKS]
    return [*_named(result), *(_most(result, row) for row in kinds)]


def _named(result: LocalisationResult) -> list[Statement]:
    """State which block each instrument names."""
    claims = _reported(result, result.claims[result.claims["kind"] == BLOCKS].drop_duplicates("instrument"))
    if claims.empty:
        return []
    names = "; ".join(f"{ROWS[row['instrument']]}: {place_words(row['place'])}" for _, row in claims.iterrows())
    measured = ""
    if result.queries:
        measured = f" with {result.queries:,} queries and {result.passages:,} passages"
    end = f" Transplants test these blocks{measured}; the p-values are corrected, the intervals are not."
    text = (
        "Which block changed retrieval? Each instrument (a measurement by block) names the block with its largest "
        f"value: {names}.{end}"
    )
    named = tuple(claims["instrument"])
    return [Statement(TOPIC, State.MEASURED, text, code="named", instruments=named, figure="localisation")]


def _reported(result: LocalisationResult, claims: pd.DataFrame) -> pd.DataFrame:
    """Return the claims; those of neurons only if an ablation confirms the neurons."""
    return claims if result.confirmed else claims[claims["instrument"] != "neurons"]


def _most(result: LocalisationResult, row: "pd.Series[Any]") -> Statement:
    """State which single place has the largest effect, and which instruments agree."""
    question, does, verb = ASKED[row["direction"], bool(row["sign"] > 0)]
    question = question if row["kind"] == BLOCKS else f"{question.rstrip('?')}, by part?"
    done, things = DONE[row["direction"]], "block or group" if row["kind"] == BLOCKS else "part of all blocks"
    about: Any = {"code": f"{row['direction']}.{row['kind']}", "figure": "localisation"}
    if not row["explained"]:
        text = (
            f"{question} All weights together, {done}, have no significant effect on retrieval, so there is nothing "
            "to localise."
        )
        return Statement(TOPIC, State.NOT_SIGNIFICANT, text, **about)
    about["estimate"] = effect_alone(result, row)
    alone = f"{place_words(row['place'])}: {_effect(result, row)}"
    if not row["significant"]:
        more = " more than random changes of equal size do" if row["controlled"] else ""
        text = (
            f"{question} No single {things}, {done}, {verb} {result.measure} significantly{more} (largest effect: "
            f"{alone}). {ALONE[row['direction']]}, or there are too few queries."
        )
        return Statement(TOPIC, State.NOT_SIGNIFICANT, text, **about)
    claims = _answers(result, row)
    text = (
        f"{question} Of the places {done} one at a time, the largest mean {does} is that of "
        f"{alone}{_random(row)}{_share(row)}. {_held(claims, row)}"
    )
    return Statement(TOPIC, State.SIGNIFICANT, text.rstrip(), instruments=tuple(claims["instrument"]), **about)


def effect_alone(result: LocalisationResult, row: "pd.Series[Any]") -> Estimate:
    """Return the effect of transplanting one place alone."""
    low, high, p = (float(row[name]) for name in ("ci_low", "ci_high", "p_corrected"))
    before, after = float(row["score"] - row["effect"]), float(row["score"])
    name = f"{result.measure}, {place_words(row['place'])} {row['direction']}"
    return Estimate(name, float(row["effect"]), low, high, p, n=result.queries, before=before, after=after)


def _random(row: "pd.Series[Any]") -> str:
    """Describe the effect of random changes of equal size at a place, or "" if none were measured."""
    return "" if math.isnan(row["random"]) else f"; effect of random changes of equal size: {signed(row['random'])}"


def _share(row: "pd.Series[Any]") -> str:
    if math.isnan(row["share"]):
        return ""
    share = percent_interval(row["share"], row["share_low"], row["share_high"])
    return f"; share of the effect of all weights: {share}"


def _answers(result: LocalisationResult, row: "pd.Series[Any]") -> pd.DataFrame:
    """Return the instruments' claims that can agree with this place: those of its direction and kind."""
    claims = result.claims[(result.claims["direction"] == row["direction"]) & (result.claims["kind"] == row["kind"])]
    claims = _reported(result, claims)
    return claims[claims["agreement"].isin(AGREEMENTS)]


def _held(claims: pd.DataFrame, row: "pd.Series[Any]") -> str:
    """Name the instruments that agree with the place of `row`, and the places that the others name."""
    groups = []
    for word in AGREEMENTS:
        alike = claims[claims["agreement"] == word]
        if len(alike):
            ends = ["" if word == AGREES else f" ({place_words(place)})" for place in alike["place"]]
            names = [f"{ROWS[name]}{end}" for name, end in zip(alike["instrument"], ends, strict=True)]
            groups.append(f"{word}: {', '.join(names)}")
    return f"Result for each instrument: {'; '.join(groups)}. {_luck(row)}" if groups else ""


def _luck(row: "pd.Series[Any]") -> str:
    """State the probability that this many instruments agree by chance."""
    least = max(1, int(row["agreeing"]))
    many = f"{least} of {int(row['instruments'])}" if least == row["instruments"] else f"{least} or more"
    return (
        f"The probability that {many} agree by chance is {row['luck']:.2f} if every instrument names a random place, "
        f"and {row['luck_together']:.2f} if the instruments keep their places and the transplants name a random place."
    )


def _effect(result: LocalisationResult, row: "pd.Series[Any]") -> str:
    return (
        f"{result.measure} {score(row['score'] - row['effect'])} to {score(row['score'])} ({signed(row['effect'])} "
        f"{interval(row['ci_low'], row['ci_high'], effect=True)}, {result.correction}-corrected "
        f"{tied_p(row['p_corrected'])})"
    )
