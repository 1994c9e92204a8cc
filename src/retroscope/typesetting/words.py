"""One tested effect in words: what it shows, and what it does not."""

from typing import Any

import pandas as pd

from retroscope.statistics import Difference
from retroscope.typesetting.frames import alpha, correction, margin
from retroscope.typesetting.numbers import count, interval, p_value, score, signed
from retroscope.typesetting.statements import CHANGED, EQUIVALENT, NO_EVIDENCE
from retroscope.typesetting.subject import AFTER, BEFORE, Subject


def effect_words(difference: Difference, row: "pd.Series[Any]", measure: str) -> tuple[str, str]:
    """Describe one effect and its tests, and return its tone too.

    A difference needs a corrected p below alpha, equivalence a passed equivalence test;
    anything else is no evidence of either.
    """
    tests = effect_tests(difference, row)
    sides = f"{score(row[BEFORE])} to {score(row[AFTER])}"
    within = f"within a margin of {margin(difference):g} (equivalence test, {p_value(row['p_equivalence_corrected'])})"
    if row["p_corrected"] < alpha(difference):
        verb = "raised" if row["effect"] > 0 else "lowered"
        small = f" The change is real but negligible: both are equivalent {within}." if is_equivalent(row) else ""
        return f"Fine-tuning {verb} {measure} from {sides}: {tests}.{small}", CHANGED
    if is_equivalent(row):
        return f"{measure} is equivalent before and after fine-tuning, {within}: {sides}, {tests}.", EQUIVALENT
    more = f"Equivalence within {margin(difference):g} is not shown either"
    if pd.isna(row["p_equivalence"]):
        more = "Equivalence was not tested"
    return f"No evidence that fine-tuning changed {measure}: {sides}, {tests}. {more}.", NO_EVIDENCE


def effect_tests(difference: Difference, row: "pd.Series[Any]") -> str:
    """Print an effect with interval and p-value, both uncorrected, then the corrected p unless it is tested alone."""
    alone = f"{signed(row['effect'])} {effect_limits(row)}, {p_value(row['p'])}"
    headline = difference.method.get("headline")
    if headline and list(difference.table.dims) == [headline[0]] and row[headline[0]] == headline[1]:
        return alone  # a family of one
    return f"{alone}, {correction(difference)}-corrected {p_value(row['p_corrected'])}"


def queries(difference: Difference, n: int) -> str:
    """Print the number of queries, and of distinct texts if some are equal."""
    texts = difference.method.get("texts", n)
    return count(n, "query") if texts >= n else f"{count(n, 'query')} of {count(texts, 'distinct text')}"


def is_equivalent(row: "pd.Series[Any]") -> bool:
    """Return whether the equivalence test was run and passed."""
    return not pd.isna(row["p_equivalence"]) and bool(row["equivalent"])


def effect_limits(row: "pd.Series[Any]") -> str:
    """Print the interval of an effect."""
    return interval(row["ci_low"], row["ci_high"], effect=True)


def limits(row: "pd.Series[Any]", side: str) -> str:
    """Print the interval of one side's score."""
    return interval(row[f"{side}_low"], row[f"{side}_high"])


def layer(subject: Subject, row: "pd.Series[Any]") -> str:
    """Name the layer of a row by its label."""
    return f"layer {subject.layer_label(int(row['layer']))}"


def best(table: pd.DataFrame, column: str) -> "pd.Series[Any]":
    """Return the row with the largest value; the first of several equal ones."""
    return table.loc[table[column].astype(float).idxmax()]
