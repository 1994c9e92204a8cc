"""Intervals and tests that treat both random subspaces and queries as samples."""

from dataclasses import replace

import numpy as np
import xarray as xr

from retroscope.scores import QUERY
from retroscope.statistics import Difference
from retroscope.statistics.resampling.clusters import clusters_by_row
from retroscope.statistics.resampling.crossed import crossed_mean, crossed_p
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.testing.correction import correct

INTERVAL, TWO_WAY = "two-way over random subspaces and query texts", "two_way"


def with_draws(difference: Difference, changes: xr.DataArray, level: float) -> Difference:
    """Replace the intervals of a difference by intervals over random subspaces (draws) and queries together (crossed).

    An interval over queries alone treats the mean of these draws as the mean of all possible draws.

    Args:
        changes: the change of every query's score against every draw, (query, layer, rank, variant). A variant is a
            draw, i.e. a random subspace. The effect is the mean of the changes.
        level: confidence level of the intervals.
    """
    clusters = clusters_by_row(replace(difference.before, values=changes))
    ends = [crossed_mean(values, level, _bounds(values), clusters) for values in _cells(changes)]
    low, high = (np.array([float(getattr(estimate, name)) for estimate in ends]) for name in ("low", "high"))
    return _replaced(difference, {"ci_low": low, "ci_high": high})


def judged_with_draws(difference: Difference, changes: xr.DataArray, level: float) -> Difference:
    """Replace the intervals and p-values of a difference by those over random subspaces (draws) and queries together.

    `p_corrected` is Holm-corrected over all layers and ranks. The arguments are those of `with_draws`.
    """
    clusters = clusters_by_row(replace(difference.before, values=changes))
    p = np.array([crossed_p(values, clusters) for values in _cells(changes)])
    corrected = correct("holm", p, np.zeros((0, len(p))), SignFlips())
    judged = _replaced(with_draws(difference, changes, level), {"p": p, "p_corrected": corrected})
    used = xr.full_like(judged.table["test_used"], TWO_WAY, dtype=object)
    return replace(
        judged,
        table=judged.table.assign(test_used=used),
        method={**judged.method, "test": TWO_WAY, "tests_used": {TWO_WAY: len(p)}, "correction": "holm"},
    )


def _bounds(values: np.ndarray) -> tuple[float, float]:
    """Return the lowest and highest possible change: -1 and 1 if all values lie between them, otherwise infinite."""
    return (-np.inf, np.inf) if (np.abs(values) > 1).any() else (-1.0, 1.0)


def _cells(changes: xr.DataArray) -> np.ndarray:
    """Return the changes as an array (combination of layer and rank, draw, query)."""
    ordered = changes.transpose("layer", "rank", "variant", QUERY).values
    return ordered.reshape(-1, *ordered.shape[2:])


def _replaced(difference: Difference, columns: dict[str, np.ndarray]) -> Difference:
    """Return the difference with these columns replaced, one number for each layer and rank."""
    table = difference.table
    shape = (table.sizes["layer"], table.sizes["rank"])
    changed = {name: (("layer", "rank"), values.reshape(shape)) for name, values in columns.items()}
    return replace(difference, table=table.assign(changed), method={**difference.method, "interval": INTERVAL})
