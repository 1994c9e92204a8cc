"""Measure ablations sequentially: on a first group of queries, then on all other queries if a test is undecided.

For each fraction of the neurons, two tests ask whether fixing the top neurons costs more than fixing random neurons,
and than fixing the largest neurons. There are two looks at the data: the first after the first group of queries, the
second after all queries. A fraction has no second look if both tests are significant at the level of the first look, or
if it is unlikely that all queries would make them significant. The reported fraction is always measured with all
queries.

A claim has a p at each look. Each p is divided by the share of alpha of its look (`SPENT`), and the smaller result is
the p of the claim. By the union bound this p is valid for any rule that decides between the looks, and for any
dependence between the looks. Holm then corrects over the fractions as if there were one look.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from scipy.stats import norm
from scipy.stats import t as student

from retroscope.analyses.neurons.ablation.table import (
    SPENT,
    claim_rows,
    first_group,
    look_rows,
    nearest_to_reference,
    query_groups,
    reported_fraction,
)
from retroscope.analyses.neurons.result import RANDOM
from retroscope.analyses.neurons.settings import NeuronAblationSettings
from retroscope.scores import QUERY

Chosen = tuple[str, int, float]  # how, draw, fraction
ValuesOfSet = Callable[[int, Chosen], Float[np.ndarray, "query measure"]]  # of the queries of a group, with a set fixed

FEW = 2  # draws of a fraction at which no harm can be claimed
FUTILE = 0.05  # predictive probability of a significant end below which a fraction is measured no further


def measure_in_looks(
    values: xr.DataArray,
    value_of: ValuesOfSet,
    settings: NeuronAblationSettings,
    passages: Mapping[str, tuple[str, ...]],
) -> None:
    """Measure retrieval with sets of neurons fixed, and write the scores into `values`.

    Sets of neurons that no undecided test needs are not measured. Their scores stay NaN.

    Args:
        values: array of NaN, (query, how, draw, fraction, measure). Its coordinate `group` has the group of each query.
        value_of: function that measures one set of neurons on one group of queries.
        passages: query id -> its relevant passages.
    """
    looks = _Looks(values, value_of, settings, passages)
    reference = nearest_to_reference(settings.fractions)
    for fraction in settings.fractions:
        looks.first(fraction, every_draw=looks.groups == 1 or fraction == reference)
    if looks.groups == 1:
        return
    rows = looks.rows(look_rows, first_group(values))
    for fraction in settings.fractions:
        if is_open(rows.loc[fraction], settings, looks.groups):
            looks.second(fraction)
    while (unfinished := looks.reported()) is not None:
        looks.second(unfinished)


@dataclass(frozen=True, eq=False)
class _Looks:
    """The scores measured so far, and the function that measures more sets of neurons."""

    values: xr.DataArray
    value_of: ValuesOfSet
    settings: NeuronAblationSettings
    passages: Mapping[str, tuple[str, ...]]

    @property
    def groups(self) -> int:
        return int(query_groups(self.values).max()) + 1

    def rows(self, table: Callable[..., pd.DataFrame], values: xr.DataArray) -> pd.DataFrame:
        """Return the rows that the function `table` computes for the headline measure, indexed by fraction."""
        headline = values.isel(measure=[0])
        return table(headline, self.settings.intervals, self.passages).set_index("fraction")

    def first(self, fraction: float, *, every_draw: bool) -> None:
        """Measure the sets of neurons of one fraction on the first group of queries.

        Args:
            every_draw: measure every random set. Otherwise stop after `FEW` random sets if more harm by the top neurons
                has become unlikely.
        """
        for how in self.values["how"].values.tolist():
            if how != RANDOM:
                self._fill(0, (how, 0, fraction))
        for draw in range(self.settings.draws):
            if draw == FEW and not every_draw:
                row = self.rows(look_rows, first_group(self.values).sel(fraction=[fraction])).loc[fraction]
                if is_futile(row, self.settings, self.groups):
                    return
            self._fill(0, (RANDOM, draw, fraction))

    def second(self, fraction: float) -> None:
        """Measure, on all other groups of queries, the sets of one fraction that were measured on the first group."""
        first = first_group(self.values).sel(fraction=fraction).isel(query=0, measure=0)
        for how, draw in product(first["how"].values.tolist(), first["draw"].values.tolist()):
            if not np.isnan(first.sel(how=how, draw=draw)):
                for group in range(1, self.groups):
                    self._fill(group, (how, draw, fraction))

    def reported(self) -> float | None:
        """Return the fraction for which the report would now give numbers; None if it was measured on all queries."""
        rows = self.rows(claim_rows, self.values)
        fraction = reported_fraction(rows.reset_index())
        return None if rows.loc[fraction, "n"] == self.values.sizes[QUERY] else fraction

    def _fill(self, group: int, neuron_set: Chosen) -> None:
        how, draw, fraction = neuron_set
        at = [self.values.indexes[name].get_loc(label) for name, label in (("how", how), ("fraction", fraction))]
        members = query_groups(self.values) == group
        self.values.values[members, at[0], draw, at[1]] = self.value_of(group, neuron_set)


def is_open(row: "pd.Series[Any]", settings: NeuronAblationSettings, groups: int) -> bool:
    """Return whether the tests of a fraction of the neurons are undecided, but may be decided by more queries.

    The tests so far use the first group of queries. They are decided if it is unlikely that all queries show more harm
    than by random neurons. They are also decided if the top neurons harm significantly more than random neurons, and
    either also harm significantly more than the largest neurons or are unlikely to do so with all queries.
    """
    spent = SPENT[0] * (1 - settings.intervals.level) / len(settings.fractions)  # whatever Holm says of the others
    if row["p_over_random"] > spent:
        return not is_futile(row, settings, groups)
    return bool(row["p_confirmed"] > spent) and not _is_futile_effect(row, "harm_over_largest", settings, groups)


def is_futile(row: "pd.Series[Any]", settings: NeuronAblationSettings, groups: int) -> bool:
    """Return whether all queries are unlikely to show more harm by fixing top neurons than by fixing random neurons.

    The prediction uses the first group of queries. The result is true if the test over queries, or the test over draws,
    is unlikely to become significant. The test over draws is predicted as if draws differed only by the sample of
    queries, so that more queries reduce their spread. If all draws are equal, nothing is decided yet.
    """
    if _is_futile_effect(row, "harm", settings, groups):
        return True
    draws = int(row["draws"])
    if draws < 2 or row["random_lowest"] == row["random_highest"]:
        return False
    among_draws = student.isf(row["p_draws"], draws - 1) * math.sqrt(groups)
    return bool(among_draws < student.isf(1 - settings.intervals.level, settings.draws - 1))


def _is_futile_effect(row: "pd.Series[Any]", effect: str, settings: NeuronAblationSettings, groups: int) -> bool:
    """Return whether the paired test of an effect is unlikely to become significant with all queries.

    The prediction uses the effect so far, with a flat prior: with z at the share s of the queries, P(z at the end > c)
    = Phi((z - sqrt(s) c) / sqrt(1 - s)) (Spiegelhalter et al. 1986, Controlled Clinical Trials 7). c is the critical
    value of the first step of Holm's correction.

    Args:
        row: a row of `look_rows` on the first group.
        effect: "harm" or "harm_over_largest".
        groups: number of groups of queries.
    """
    alpha, share = 1 - settings.intervals.level, 1 / groups
    critical = norm.isf(alpha / 2 / len(settings.fractions))
    width = (row[f"{effect}_high"] - row[f"{effect}_low"]) / 2 / norm.isf(alpha / 2)
    z = row[effect] / width if width > 0 else math.copysign(math.inf, row[effect] or -1.0)
    return bool(norm.cdf((z - math.sqrt(share) * critical) / math.sqrt(1 - share)) < FUTILE)
