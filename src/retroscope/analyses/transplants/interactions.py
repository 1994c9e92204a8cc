"""Interactions between groups of transplanted weights: Shapley values of groups, and interactions of pairs.

They are computed query by query from the scores of every subset of a few groups.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.transplants.result import PAIR_COLUMNS, SHAPLEY_COLUMNS
from retroscope.scores import Scores
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.ratio import NO_RATIO, ratio_of_means
from retroscope.statistics.resampling.clusters import clusters_by_row
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.shapley import pair_interactions, shapley_values, subsets
from retroscope.surgery.transplant import OUTSIDE, SET, steps
from retroscope.typesetting.frames import rows

DIGITS = 12  # of sums of a few measures: what is less is rounding


def players(n_blocks: int, groups: int) -> list[str]:
    """Return the names of at most `groups` groups of weights: groups of neighbouring blocks, and all other weights."""
    groups_of_blocks = steps(n_blocks, groups - 1)
    return [*(str(last) if first == last else f"{first}-{last}" for first, last in groups_of_blocks), OUTSIDE]


def subset_names(group: Sequence[str]) -> dict[frozenset[str], str]:
    """Map each subset of the groups to the name of its transplant. "none" is the empty set, "all" the full one."""
    names = {some: f"{SET}:{'+'.join(one for one in group if one in some)}" for some in subsets(group)}
    return {**names, frozenset(): "none", frozenset(group): "all"}


def groups_of(scores: Scores) -> list[str]:
    """Return the names of the groups of weights of which every subset was transplanted."""
    names = [str(name).partition(":")[2] for name in scores.values["transplant"].values if str(name).startswith(SET)]
    return [name for name in names if "+" not in name]


def interaction_tables(
    scores: Scores, measure: str, statistics: ComparisonSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two tables: Shapley values of groups of transplanted weights, and interactions of pairs of groups.

    Intervals are over queries.

    Args:
        scores: (query, transplant, measure) of every subset, "none" and "all" among them.
        measure: the measure whose changes are divided among the groups.
    """
    group = groups_of(scores)
    by_transplant = scores.values.sel(measure=measure)
    values = {some: by_transplant.sel(transplant=name).values for some, name in subset_names(group).items()}
    whole = values[frozenset(group)] - values[frozenset()]
    shares = shapley_values(group, values)
    shapley = _tested({name: shares[name] for name in group}, scores, statistics)
    total = _tested({"all": whole}, scores, statistics).iloc[0]
    clusters = clusters_by_row(scores)
    explained = total["p_corrected"] < 1 - statistics.level
    parts = [
        ratio_of_means(shares[name], whole, statistics.level, clusters) if explained else NO_RATIO for name in group
    ]
    shapley = shapley.rename(columns={"label": "group"}).assign(
        alone=[float(np.mean(values[frozenset({name})] - values[frozenset()])) for name in group],
        share=[part.value for part in parts],
        share_low=[part.low for part in parts],
        share_high=[part.high for part in parts],
    )
    pairs = {f"{a} x {b}": value for (a, b), value in pair_interactions(group, values).items()}
    return shapley[list(SHAPLEY_COLUMNS)], _tested(pairs, scores, statistics).rename(columns={"label": "pair"})[
        list(PAIR_COLUMNS)
    ]


def _tested(values: dict[str, np.ndarray], scores: Scores, statistics: ComparisonSettings) -> pd.DataFrame:
    """Test the mean of each label's values over queries against 0. Return a row for each label; p is corrected."""
    of_queries = scores.values.isel(transplant=0, measure=0, drop=True).coords
    table = np.round(np.stack(list(values.values()), axis=1), DIGITS)
    array = xr.DataArray(table, {**of_queries, "label": list(values)}, ("query", "label"))
    settings = replace(statistics, family_per=(), margin=None, test="auto")
    nothing, something = (replace(scores, values=by_label) for by_label in (xr.zeros_like(array), array))
    return rows(compare_scores(nothing, something, settings))
