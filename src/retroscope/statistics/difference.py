"""The type `Difference`: the result of comparing the scores of two retrievers, with effects, intervals and p-values."""

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.errors import AnalysisError, unknown_name
from retroscope.notebook import html_table
from retroscope.number_format import interval, p_number, score, signed
from retroscope.scores import QUERY, Scores
from retroscope.statistics.testing.paired import paired_differences


@dataclass(frozen=True)
class Flip:
    """A query whose score changed, with both scores."""

    query_id: str
    before: float
    after: float
    change: float


class ComparisonMethod(TypedDict, total=False):
    """Settings of a comparison, with the tests that it used and the sizes of their families, as JSON-like values.

    "family_labels" is how many labels each dimension has, "family_sizes" how many tests each family has, and
    "tests_used" how often each test was used. The result of `compare_scores` has every key. With them, every number can
    be computed again from the scores.
    """

    test: str
    correction: str
    level: float
    resamples: int
    permutations: int
    margin: float | None
    seed: int
    family: str
    family_per: list[str]
    headline: tuple[str, str] | None
    family_labels: dict[str, int]
    family_sizes: list[int]
    tests_used: dict[str, int]
    equivalence_correction: str | None
    interval: str
    queries: int
    versions: dict[str, str]
    texts: int
    passages: int


@dataclass(frozen=True, eq=False)
class Difference:
    """The difference of the scores `after` and `before`, paired by query: effects and tests, method and warnings.

    Attributes:
        name: name of the scores, e.g. "retrieval".
        before, after: the scores, paired by query id.
        table: one entry per combination of labels, over the queries that have scores before and after: the means
            `before` and `after` with their intervals (`before_low`, `before_high`, `after_low`, `after_high`); `effect`
            (after - before) with `ci_low` and `ci_high`; `p`, `p_corrected` and `test_used`; the numbers of queries
            `wins` (after is higher), `ties`, `losses` and `n`; `p_equivalence`, `p_equivalence_corrected` and
            `equivalent` (NaN, NaN and False without an equivalence margin).
        method: settings and software of the comparison.
        warnings: reasons to doubt the comparison, including the warnings of the scores.
    """

    name: str
    before: Scores
    after: Scores
    table: xr.Dataset
    method: ComparisonMethod
    warnings: tuple[str, ...] = ()

    def flips(self, limit: int | None = None, **labels: object) -> list[Flip]:
        """Return the queries whose score changed for one combination of labels, largest change first.

        For example, `flips(10, layer=6)` returns the ten largest changes at layer 6.

        Raises:
            AnalysisError: if no combination of labels fits, or more than one.
        """
        return flips(self.before, self.after, limit, **labels)

    def _repr_html_(self) -> str:
        frame, labels = self.to_frame(), list(self.table.dims)
        rows = [
            (", ".join(str(row[name]) for name in labels) or self.name, score(row["before"]), score(row["after"]),
             signed(row["effect"]), interval(row["ci_low"], row["ci_high"], effect=True), p_number(row["p_corrected"]))
            for _, row in frame.iterrows()
        ]  # fmt: skip
        columns = (", ".join(map(str, labels)), "before", "after", "after - before", "interval", "p (corrected)")
        return html_table(f"Difference in {self.name}", rows, columns)

    def to_frame(self) -> pd.DataFrame:
        """Return the table of effects as a data frame, a row per combination of labels: first labels, then numbers."""
        rows = self.table if self.table.dims else self.table.expand_dims("cell")
        frame = rows.to_dataframe().reset_index()
        return frame if self.table.dims else frame.drop(columns="cell")


def flips(before: Scores, after: Scores, limit: int | None = None, **labels: object) -> list[Flip]:
    """Return the queries whose score differs for one combination of labels, largest change first; ties by query id.

    Args:
        before, after: the scores, paired by query id.
        limit: largest number of queries to return.
        labels: labels that leave one combination, e.g. measure="RR@10".

    Raises:
        AnalysisError: if no combination of labels fits, or more than one.
    """
    for dim in labels:
        if dim not in before.values.dims[1:]:
            raise unknown_name("dimension", dim, [str(d) for d in before.values.dims[1:]])
    old, new = (_one_cell(scores.select(**labels)) for scores in (before, after))
    change = paired_differences(old[:, None], new[:, None])[:, 0]
    rows = zip(before.query_ids, old, new, change, strict=True)
    changed = [Flip(i, float(b), float(a), float(c)) for i, b, a, c in rows if np.isfinite(c) and c != 0]
    return sorted(changed, key=lambda flip: (-abs(flip.change), flip.query_id))[:limit]


def _one_cell(scores: Scores) -> np.ndarray:
    values = scores.values
    open_dims = [str(dim) for dim in values.dims if dim != QUERY and values.sizes[dim] > 1]
    if open_dims:
        raise AnalysisError(
            f"a list of changed queries needs one score for each query, but several labels are left in the dimensions "
            f"{', '.join(open_dims)}",
            where=scores.name,
            fix=f"choose one label of each dimension, e.g. flips({open_dims[0]}={values[open_dims[0]].values[0]!r})",
        )
    return np.asarray(values.values, dtype=np.float64).reshape(len(values))
