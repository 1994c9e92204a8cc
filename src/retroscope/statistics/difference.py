"""The type `Difference`: the effect between two sets of scores, query by query and cell by cell."""

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.errors import AnalysisError, unknown_name
from retroscope.notebook import html_table
from retroscope.numbers import interval, p_number, score, signed
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
    """Method of a comparison as JSON-like values: settings and their consequences, sufficient to repeat it.

    "family_labels" are the labels of each dimension, "family_sizes" the tested cells of each family, "tests_used" the
    cells that each test was used for. The result of `compare_scores` has every key.
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
    """The effect between `before` and `after`, paired by query: a table of tests, the method and warnings.

    Attributes:
        name: what was measured.
        before, after: the scores, paired by query id.
        table: one entry per label, over the queries measured on both sides:
            `before`, `after` (means) with `_low` and `_high`; `effect` (after - before) with
            `ci_low`, `ci_high`; `p`, `p_corrected`, `test_used`; `wins` (after is higher), `ties`,
            `losses`, `n`; `p_equivalence`, `p_equivalence_corrected`, `equivalent` (NaN, NaN and
            False without a margin).
        method: everything that is needed to repeat the comparison.
        warnings: reasons to doubt it, including those of the scores.
    """

    name: str
    before: Scores
    after: Scores
    table: xr.Dataset
    method: ComparisonMethod
    warnings: tuple[str, ...] = ()

    def flips(self, limit: int | None = None, **labels: object) -> list[Flip]:
        """Return the queries that changed in one cell, largest change first, ties by id: `flips(10, layer=6)`.

        Raises:
            AnalysisError: if the labels name no cell, or more than one.
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
        """Return the table of effects with one row per cell: its labels, then the numbers."""
        rows = self.table if self.table.dims else self.table.expand_dims("cell")
        frame = rows.to_dataframe().reset_index()
        return frame if self.table.dims else frame.drop(columns="cell")


def flips(before: Scores, after: Scores, limit: int | None = None, **labels: object) -> list[Flip]:
    """Return the queries whose score differs in one cell, largest change first, ties by id.

    Args:
        before, after: the scores, paired by query id.
        limit: largest number of queries to return.
        labels: labels of the cell, e.g. measure="RR@10".

    Raises:
        AnalysisError: if the labels name no cell, or more than one.
    """
    for dim in labels:
        if dim not in before.values.dims[1:]:
            raise unknown_name("dimension", dim, [str(d) for d in before.values.dims[1:]])
    one, other = (_one_cell(scores.select(**labels)) for scores in (before, after))
    change = paired_differences(one[:, None], other[:, None])[:, 0]
    rows = zip(before.query_ids, one, other, change, strict=True)
    changed = [Flip(i, float(b), float(a), float(c)) for i, b, a, c in rows if np.isfinite(c) and c != 0]
    return sorted(changed, key=lambda flip: (-abs(flip.change), flip.query_id))[:limit]


def _one_cell(scores: Scores) -> np.ndarray:
    values = scores.values
    open_dims = [str(dim) for dim in values.dims if dim != QUERY and values.sizes[dim] > 1]
    if open_dims:
        raise AnalysisError(
            f"flips need one score for each query, but these dimensions have several labels: {', '.join(open_dims)}",
            where=scores.name,
            fix=f"choose one label of each dimension, e.g. flips({open_dims[0]}={values[open_dims[0]].values[0]!r})",
        )
    return np.asarray(values.values, dtype=np.float64).reshape(len(values))
