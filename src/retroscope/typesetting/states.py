"""States: the rules that turn the tests of one effect into what may be concluded."""

from typing import Any

import pandas as pd

from retroscope.statistics import Difference
from retroscope.typesetting.frames import alpha, margin
from retroscope.typesetting.statements import State

FEWEST = 25  # queries: with fewer, the paired tests are exact or rough, and an effect must be large to show


def state_of(difference: Difference, row: "pd.Series[Any]") -> State:
    """Return what the tests say about one effect.

    A difference needs a corrected p below alpha, equivalence a passed equivalence test. Anything else is not
    significant; where the queries could not have decided, that is said instead: fewer than `FEWEST`, or an interval
    that is wider than the margin on both sides, so that not even an effect of 0 would be equivalent.
    """
    if row["p_corrected"] < alpha(difference):
        return State.SIGNIFICANT
    if is_equivalent(row):
        return State.EQUIVALENT
    too_wide = (row["ci_high"] - row["ci_low"]) / 2 > margin(difference)  # never, without a margin
    return State.TOO_FEW if too_wide or row["n"] < FEWEST else State.NOT_SIGNIFICANT


def is_equivalent(row: "pd.Series[Any]") -> bool:
    """Return whether the equivalence test was run and passed."""
    return not pd.isna(row["p_equivalence"]) and bool(row["equivalent"])
