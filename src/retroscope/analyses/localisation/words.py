"""Statements about localisation: the block where each measurement is largest, and the effect of transplanting it."""

import math
from typing import Any

import pandas as pd

from retroscope.analyses.localisation.result import (
    AGREES,
    BLOCKS,
    CONTRADICTED,
    MATTERS,
    PARTS,
    UNDECIDED,
    LocalisationResult,
)
from retroscope.number_format import interval, percent_interval, score, signed, tied_p
from retroscope.surgery.transplant import GRAFTED, RESTORED
from retroscope.typesetting.places import place_words
from retroscope.typesetting.statements import Estimate, State, Statement

TOPIC = "localisation"
DONE = {RESTORED: "restored", GRAFTED: "grafted into the backbone"}
SINGLE = {BLOCKS: ("block or group of blocks", "blocks and groups of blocks"), PARTS: ("part", "parts")}
ASKED = {  # direction, and kind of the places -> the question, without what becomes of retrieval
    (RESTORED, BLOCKS): "Which block {} retrieval if its backbone weights are restored in the retriever?",
    (GRAFTED, BLOCKS): "Which block {} retrieval if its fine-tuned weights are grafted into the backbone?",
    (RESTORED, PARTS): "Which part, e.g. attention in all blocks, {} retrieval if its backbone weights are restored in "
    "the retriever?",
    (GRAFTED, PARTS): "Which part, e.g. attention in all blocks, {} retrieval if its fine-tuned weights are grafted "
    "into the backbone?",
}
BECOMES = {False: ("lowers", "loss", "lowers"), True: ("improves", "gain", "raises")}  # whether the effect is a gain
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
    RESTORED: "Other {} may compensate",
    GRAFTED: "Perhaps several {} are needed together",
}  # why nothing is shown of one alone
AGREEMENTS = {  # in the order of reading -> what the measurements do
    AGREES: "{} to {}, whose effect is the largest",
    MATTERS: "{} to {}, whose effect is also significant",
    CONTRADICTED: "{} to {}, but the effect of another transplant is significantly larger",
    UNDECIDED: "{} to {}, whose effect is undecided",
}


def localisation_statements(result: LocalisationResult) -> list[Statement]:
    """State at which block each measurement is largest, and which blocks are necessary or sufficient for retrieval."""
    kinds = [row for _, row in result.most.iterrows() if row["explained"] or row["kind"] == BLOCKS]
    return [*_named(result), *(_most(result, row) for row in kinds)]


def _named(result: LocalisationResult) -> list[Statement]:
    """State at which block each instrument, such as CKA, has its largest value."""
    claims = _reported(result, result.claims[result.claims["kind"] == BLOCKS].drop_duplicates("instrument"))
    if claims.empty:
        return []
    names = "; ".join(f"{ROWS[row['instrument']]}, {place_words(row['place'])}" for _, row in claims.iterrows())
    measured = ""
    if result.queries:
        measured = f" with {result.queries:,} queries and {result.passages:,} passages"
    end = f" Transplants test these blocks{measured}; the p-values are corrected, the intervals are not."
    text = f"Block or group of blocks with the largest value of each measurement: {names}.{end}"
    named = tuple(claims["instrument"])
    return [Statement(TOPIC, State.MEASURED, text, code="named", instruments=named, figure="localisation")]


def _reported(result: LocalisationResult, claims: pd.DataFrame) -> pd.DataFrame:
    """Leave out the claims about neurons unless an ablation confirms the neurons."""
    return claims if result.confirmed else claims[claims["instrument"] != "neurons"]


def _most(result: LocalisationResult, row: "pd.Series[Any]") -> Statement:
    """State which single block or part has the largest effect, and which instruments point to it."""
    becomes, does, verb = BECOMES[bool(row["sign"] > 0)]
    question = ASKED[row["direction"], row["kind"]].format(becomes)
    transplanted, single, several = DONE[row["direction"]], *SINGLE[row["kind"]]
    about: Any = {"code": f"{row['direction']}.{row['kind']}", "figure": "localisation"}
    if not row["explained"]:
        text = (
            f"{question} Even with all weights {transplanted} together, {result.measure} does not change "
            "significantly, so there is nothing to localise."
        )
        return Statement(TOPIC, State.NOT_SIGNIFICANT, text, **about)
    about["estimate"] = effect_alone(result, row)
    alone = f"{place_words(row['place'])}: {_effect(result, row)}"
    if not row["significant"]:
        more = " more than random changes of equal size do" if row["controlled"] else ""
        text = (
            f"{question} No single {single} {verb} {result.measure} significantly{more} when it is {transplanted}. The "
            f"largest effect is that of {alone}. {ALONE[row['direction']].format(row['kind'])}, or there are too few "
            "queries."
        )
        return Statement(TOPIC, State.NOT_SIGNIFICANT, text, **about)
    claims = _answers(result, row)
    text = (
        f"{question} Of all {several} {transplanted} one at a time, the largest mean {does} is that of "
        f"{alone}.{_random(result, row)}{_share(row)} {_held(claims, row)}"
    )
    return Statement(TOPIC, State.SIGNIFICANT, text.rstrip(), instruments=tuple(claims["instrument"]), **about)


def effect_alone(result: LocalisationResult, row: "pd.Series[Any]") -> Estimate:
    """Return the effect of transplanting one block or part alone, as an estimate."""
    low, high, p = (float(row[name]) for name in ("ci_low", "ci_high", "p_corrected"))
    before, after = float(row["score"] - row["effect"]), float(row["score"])
    name = f"{result.measure}, {place_words(row['place'])} {row['direction']}"
    return Estimate(name, float(row["effect"]), low, high, p, n=result.queries, before=before, after=after)


def _random(result: LocalisationResult, row: "pd.Series[Any]") -> str:
    """State the mean effect of random changes of equal size of a block or part; "" if none were measured."""
    if math.isnan(row["random"]):
        return ""
    return f" The mean effect of random changes of equal size on {result.measure} is {signed(row['random'])}."


def _share(row: "pd.Series[Any]") -> str:
    if math.isnan(row["share"]):
        return ""
    name, share = place_words(row["place"]), percent_interval(row["share"], row["share_low"], row["share_high"])
    return f" The share of {name} in the effect of all weights is {share}."


def _answers(result: LocalisationResult, row: "pd.Series[Any]") -> pd.DataFrame:
    """Return the claims of the instruments for the direction and kind ("blocks" or "parts") of this row."""
    claims = result.claims[(result.claims["direction"] == row["direction"]) & (result.claims["kind"] == row["kind"])]
    claims = _reported(result, claims)
    return claims[claims["agreement"].isin(AGREEMENTS)]


def _held(claims: pd.DataFrame, row: "pd.Series[Any]") -> str:
    """Name the instruments that point to the block or part of `row`, and what the other instruments point to."""
    groups = []
    for word, sentence in AGREEMENTS.items():
        for place, alike in claims[claims["agreement"] == word].groupby("place", sort=False):
            names = [ROWS[name] for name in alike["instrument"]]
            listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
            subject = f"{listed} {'points' if len(names) == 1 else 'point'}"
            groups.append(f"{sentence.format(subject, place_words(str(place)))}.")
    capitals = [f"{sentence[:1].upper()}{sentence[1:]}" for sentence in groups]
    return f"{' '.join(capitals)} {_luck(row)}" if groups else ""


def _luck(row: "pd.Series[Any]") -> str:
    """State the probability that this many instruments agree by chance."""
    least, all_of = max(1, int(row["agreeing"])), int(row["instruments"])
    name, one = place_words(row["place"]), "block or group" if row["kind"] == BLOCKS else "part"
    single = all_of == 1
    many = "this measurement" if single else f"at least {least} of {all_of} measurements"
    condition = "the measurement keeps its pick" if single else "all measurements keep their picks"
    return (
        f"The probability that {many} would point to {name} by chance is {row['luck']:.2f} if "
        f"{'it' if single else 'each measurement'} picked a {one} at random. The probability is "
        f"{row['luck_together']:.2f} if instead {condition} and a random {one} has the largest transplant effect."
    )


def _effect(result: LocalisationResult, row: "pd.Series[Any]") -> str:
    return (
        f"{result.measure} changes from {score(row['score'] - row['effect'])} to {score(row['score'])} "
        f"({signed(row['effect'])} {interval(row['ci_low'], row['ci_high'], effect=True)}, "
        f"{result.correction}-corrected {tied_p(row['p_corrected'])})"
    )
