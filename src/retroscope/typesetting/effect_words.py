"""Describe one tested effect in words."""

import math
from typing import Any

import pandas as pd

from retroscope.number_format import count, interval, score, signed, tied_p
from retroscope.statistics import Difference
from retroscope.typesetting.frames import correction, margin
from retroscope.typesetting.statements import Estimate, Kind, State, is_equivalent, state_of
from retroscope.typesetting.subject import AFTER, BEFORE, Subject


def estimate_of(row: "pd.Series[Any]", name: str, collection: str = "") -> Estimate:
    """Return one effect (after minus before) as an estimate, with its interval and corrected p."""
    return Estimate(
        name,
        float(row["effect"]),
        float(row["ci_low"]),
        float(row["ci_high"]),
        p=float(row["p_corrected"]),
        n=int(row["n"]),
        before=float(row[BEFORE]),
        after=float(row[AFTER]),
        collection=collection,
    )


def most_changed(table: pd.DataFrame, level: float) -> "pd.Series[Any]":
    """Return the row with the largest significant effect, or with the largest effect if none is significant.

    A statement with the state "significant" must give the number of a significant row.
    """
    significant = table[table["p_corrected"] < level]
    candidates = table if significant.empty else significant
    return candidates.loc[candidates["effect"].abs().idxmax()]


def side_score(row: "pd.Series[Any]", side: str, name: str) -> Estimate:
    """Return the score of one model ("before" or "after") with its interval, as an estimate."""
    value, low, high = (float(row[f"{side}{end}"]) for end in ("", "_low", "_high"))
    return Estimate(name, value, low, high, n=int(row["n"]), kind=Kind.SCORE)


def effect_words(difference: Difference, row: "pd.Series[Any]", measure: str) -> tuple[str, State]:
    """Return a sentence on one effect and its tests, and the state of the effect, e.g. significant."""
    tests = effect_tests(difference, row)
    sides = f"{score(row[BEFORE])} to {score(row[AFTER])}"
    within = f"within a margin of {margin(difference):g} (equivalence test, {tied_p(row['p_equivalence_corrected'])})"
    state = state_of(difference, row)
    if state is State.SIGNIFICANT:
        verb = "raised" if row["effect"] > 0 else "lowered"
        small = (
            (f" The change is significant but negligible: before and after are equivalent {within}.")
            if is_equivalent(row)
            else ""
        )
        return f"Fine-tuning {verb} {measure} from {sides}: {tests}.{small}", state
    if state is State.EQUIVALENT:
        return f"{measure} is equivalent before and after fine-tuning, {within}: {sides}, {tests}.", state
    more = f"Equivalence within {margin(difference):g} is not significant either"
    if pd.isna(row["p_equivalence"]):
        more = "Equivalence was not tested"
    few = f" {queries_needed(difference, row)}" if state is State.TOO_FEW else ""
    return f"No significant change of {measure}: {sides}, {tests}. {more}.{few}", state


def queries_needed(difference: Difference, row: "pd.Series[Any]") -> str:
    """Say roughly how many queries would narrow the interval to the equivalence margin, or that there are too few."""
    half, stated = (row["ci_high"] - row["ci_low"]) / 2, margin(difference)
    if half > stated:
        needed = math.ceil(row["n"] * (half / stated) ** 2)
        return f"Too few queries: about {needed:,} would narrow the interval to +-{stated:g}."
    return f"Too few queries: {count(int(row['n']), 'query')}."


def effect_tests(difference: Difference, row: "pd.Series[Any]") -> str:
    """Format an effect with its uncorrected interval and p. Add the corrected p unless its family has a single test."""
    alone = f"{signed(row['effect'])} {effect_limits(row)}, {tied_p(row['p'])}"
    headline = difference.method.get("headline")
    if headline and list(difference.table.dims) == [headline[0]] and row[headline[0]] == headline[1]:
        return alone  # a family of one
    return f"{alone}, {correction(difference)}-corrected {tied_p(row['p_corrected'])}"


def queries(difference: Difference, n: int) -> str:
    """Format the number of queries, and the number of distinct texts if some are equal."""
    texts = difference.method.get("texts", n)
    return count(n, "query") if texts >= n else f"{count(n, 'query')} of {count(texts, 'distinct text')}"


def effect_limits(row: "pd.Series[Any]") -> str:
    """Format the confidence interval of an effect, with signs."""
    return interval(row["ci_low"], row["ci_high"], effect=True)


def limits(row: "pd.Series[Any]", side: str) -> str:
    """Format the confidence interval of the score of one model ("before" or "after")."""
    return interval(row[f"{side}_low"], row[f"{side}_high"])


def layer(subject: Subject, row: "pd.Series[Any]") -> str:
    """Return the layer of a row in words, e.g. "layer 6 (post-norm)"."""
    return f"layer {subject.layer_label(int(row['layer']))}"


def best(table: pd.DataFrame, column: str) -> "pd.Series[Any]":
    """Return the row with the largest value in a column; if there are several, the first one."""
    return table.loc[table[column].astype(float).idxmax()]
