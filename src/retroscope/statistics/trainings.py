"""Effects of fine-tuning over several trainings (seeds) and queries together, from the scores of every training."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.scores import Scores, align
from retroscope.statistics.cells import cell_values
from retroscope.statistics.resampling.clusters import clusters_of
from retroscope.statistics.resampling.crossed import crossed_mean, crossed_p
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.testing.correction import correct

TRAINING = "training"  # the dimension
EFFECT_COLUMNS = ("before", "after", "effect", "ci_low", "ci_high", "p", "p_corrected", "spread", "trainings", "n")


class CrossedMethod(TypedDict):
    """Method of the crossed intervals and tests (over trainings and queries together), as JSON-like values."""

    interval: str
    level: float
    trainings: int
    correction: str


def stack_trainings(name: str, each: Sequence[Scores], names: Sequence[str]) -> Scores:
    """Concatenate the scores of several trainings along a new dimension: (query, training, ...).

    Args:
        name: name of the stacked scores.
        each: the scores of each training.
        names: the label of each training.
    """
    first = each[0]
    parts = [first, *(align(first, other)[1] for other in each[1:])]
    values = xr.concat([part.values for part in parts], dim=TRAINING).assign_coords({TRAINING: list(names)})
    warnings = {f"{name}: {w}": None for name, part in zip(names, parts, strict=True) for w in part.warnings}
    return Scores(
        name, values.transpose("query", TRAINING, ...), first.recipe, tuple(warnings), passages=first.passages
    )


def effects_over_trainings(before: Scores, after: Scores, level: float, family: str) -> pd.DataFrame:
    """Return the mean effect over trainings and queries together, with its interval, for each combination of labels.

    A combination of labels has no row if it was measured for fewer than two query texts.

    Args:
        before, after: scores of every training before and after, (query, training, ...).
        level: confidence level of the intervals.
        family: name of a label dimension, e.g. "measure". The tests with the same label in it form one family, which is
            corrected by Holm (see `corrected_within`).

    Returns:
        One column for each label dimension, then `EFFECT_COLUMNS`. `spread` is the standard deviation of the effect
        over trainings.
    """
    frame = uncorrected_effects(before, after, level)
    return corrected_within(frame, frame[family])


def uncorrected_effects(before: Scores, after: Scores, level: float) -> pd.DataFrame:
    """Return the mean effects over trainings and queries together, with intervals and uncorrected p-values.

    The table has the columns of `effects_over_trainings`, but `p_corrected` is NaN.
    """
    before, after = align(before, after)
    labels = [str(dim) for dim in after.values.dims[2:]]
    return pd.DataFrame(list(_cells(before, after, labels, level)), columns=[*labels, *EFFECT_COLUMNS])


def corrected_within(frame: pd.DataFrame, family: "pd.Series[Any]") -> pd.DataFrame:
    """Fill the column `p_corrected` by Holm's correction within each family of tests.

    Args:
        family: the name of the family of each row.
    """
    corrected = frame.copy()
    for _, part in frame.groupby(family):
        p = part["p"].to_numpy()
        corrected.loc[part.index, "p_corrected"] = correct("holm", p, np.zeros((0, len(p))), SignFlips())
    return corrected


def crossed_method(level: float, trainings: int) -> CrossedMethod:
    """Describe the crossed intervals and tests (over trainings and queries together) as JSON-like values."""
    return {
        "interval": "two-way random effects over trainings and queries",
        "level": level,
        "trainings": trainings,
        "correction": "holm",
    }


def _cells(before: Scores, after: Scores, labels: list[str], level: float) -> Iterator[tuple[Any, ...]]:
    shape = (-1, after.values.sizes[TRAINING], int(np.prod(after.values.shape[2:])))
    old, new = (cell_values(scores).reshape(shape) for scores in (before, after))
    clusters = clusters_of(before if before.texts is not None else after)
    for cell, at in enumerate(product(*(after.values.indexes[dim] for dim in labels))):
        change = (new[:, :, cell] - old[:, :, cell]).T
        change[:, np.isnan(change).any(axis=0)] = np.nan  # paired: what both sides of every training measured
        is_measured = ~np.isnan(change[0])
        if len(np.unique(clusters.text[is_measured])) < 2:
            continue
        ends = (-1.0, 1.0) if np.nanmax(np.abs(change)) <= 1 else (-np.inf, np.inf)
        mean, p = crossed_mean(change, level, ends, clusters), crossed_p(change, clusters)
        spread = float(change[:, is_measured].mean(axis=1).std(ddof=1))
        means = (float(side[is_measured, :, cell].mean()) for side in (old, new))
        limits = (float(mean.low), float(mean.high))
        yield (*at, *means, float(mean.mean), *limits, p, np.nan, spread, len(change), int(is_measured.sum()))
