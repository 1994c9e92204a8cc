"""Summarise the scores of one retriever by means over queries, with intervals."""

import xarray as xr

from retroscope.scores import Scores
from retroscope.statistics.cells import cell_values, to_table
from retroscope.statistics.resampling.clusters import clusters_of
from retroscope.statistics.resampling.intervals import DEFAULT, IntervalSettings
from retroscope.statistics.resampling.outcomes import outcome_mean


def summarise(scores: Scores, settings: IntervalSettings = DEFAULT) -> xr.Dataset:
    """Return the mean over queries, its interval and the number of measured queries for each combination of labels.

    The columns are `mean`, `ci_low`, `ci_high` and `n`.
    """
    means = outcome_mean(cell_values(scores), settings, clusters_of(scores))
    columns = {"mean": means.mean, "ci_low": means.low, "ci_high": means.high, "n": means.n}
    return to_table(scores, columns).assign_attrs(
        name=scores.name, level=settings.level, resamples=settings.resamples, seed=settings.seed
    )
