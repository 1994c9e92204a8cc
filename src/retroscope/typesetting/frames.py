"""Convert a `Difference` (effects paired by query) to data frames, and look up how it was tested."""

import math
from typing import TypeVar

import pandas as pd
from scipy import stats

from retroscope.errors import AnalysisError
from retroscope.statistics import Difference
from retroscope.typesetting.subject import AFTER, BEFORE

Value = TypeVar("Value")

PLAIN = "none"  # the name of "no control": the probe itself


def rows(difference: Difference, **labels: object) -> pd.DataFrame:
    """Return one row for each effect that was measured in both models, e.g. for each layer and measure.

    Args:
        labels: keep only the rows with these labels, e.g. measure="nDCG@10".
    """
    frame = difference.table.to_dataframe().reset_index().dropna(subset=["before", "after"])
    for dim, label in labels.items():
        frame = frame[frame[dim] == label]
    return frame.reset_index(drop=True)


def by_side(frame: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """Return each row twice, for the models before and after: columns `labels`, side, value, low, high."""
    parts = [
        frame[labels].assign(side=side, value=frame[side], low=frame[f"{side}_low"], high=frame[f"{side}_high"])
        for side in (BEFORE, AFTER)
    ]
    return pd.concat(parts, ignore_index=True)


def widened(cells: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return the rows with wider intervals, which hold together with probability 1 - `level` (Bonferroni).

    Without this, some of many intervals would miss the true value by chance alone.
    """
    ratio = stats.norm.ppf(1 - level / (2 * max(len(cells), 1))) / stats.norm.ppf(1 - level / 2)
    below, above = cells["value"] - cells["low"], cells["high"] - cells["value"]
    return cells.assign(low=cells["value"] - ratio * below, high=cells["value"] + ratio * above)


def alpha(difference: Difference) -> float:
    """Return the significance level of the tests, e.g. .05: 1 minus the confidence level of the intervals."""
    return round(1 - _stated("level", difference.method.get("level"), difference), 12)


def margin(difference: Difference) -> float:
    """Return the margin of the equivalence test, or NaN if equivalence was not tested."""
    stated = difference.method.get("margin")
    return math.nan if stated is None else float(stated)


def correction(difference: Difference) -> str:
    """Return the name of the correction for multiple tests, such as "holm"."""
    return _stated("correction", difference.method.get("correction"), difference)


def _stated(key: str, value: Value | None, difference: Difference) -> Value:
    if value is None:
        raise AnalysisError(
            f"the `Difference` lacks {key!r} in its field `method`, which tables need",
            where=difference.before.name,
            fix="make the `Difference` with `compare_scores`, which fills in this field",
        )
    return value
