"""Compute intervals that cover both training runs and queries, from the scores of every query."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.training_runs.result import EFFECT_COLUMNS, TrainingsResult
from retroscope.scores import Scores, align
from retroscope.statistics.cells import cell_values
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.resampling.clusters import clusters_of
from retroscope.statistics.resampling.crossed import crossed_mean, crossed_p
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.testing.correction import correct

TRAINING = "training"  # the dimension


def over_trainings(
    retrieval: tuple[Scores, Scores],
    probes: tuple[Scores, Scores] | None,
    headline: str,
    settings: ComparisonSettings,
) -> TrainingsResult:
    """Compare the backbone with all trainings of the retriever, with intervals over trainings and queries together.

    Args:
        retrieval: of the backbone, (query, measure), and of every training, (query, training, measure).
        probes: the same without controls, (query, probe, passages, layer); None where nothing was probed.
        headline: measure that is a family of its own; all others are another.
        settings: level of the intervals, and how each training is tested.
    """
    before, trainings = retrieval
    names = tuple(str(name) for name in trainings.values[TRAINING].values)
    level = settings.intervals.level
    of_measures, of_probes = _over_both(before, trainings, level), None
    if probes is not None:
        frame = _over_both(*probes, level)
        of_probes = _corrected(frame, frame["probe"])
    each = replace(settings, family_per=(TRAINING,), headline=("measure", headline))
    return TrainingsResult(
        names=names,
        each=compare_scores(_for_every_training(before, names), trainings, each),
        retrieval=_corrected(of_measures, of_measures["measure"] == headline),
        probing=of_probes,
        level=level,
    )


def stack_trainings(name: str, each: Sequence[Scores], names: Sequence[str]) -> Scores:
    """Stack the scores of all trainings along a dimension `training`, (query, training, ...)."""
    first = each[0]
    parts = [first, *(align(first, other)[1] for other in each[1:])]
    values = xr.concat([part.values for part in parts], dim=TRAINING).assign_coords({TRAINING: list(names)})
    warnings = {f"{name}: {w}": None for name, part in zip(names, parts, strict=True) for w in part.warnings}
    return Scores(
        name, values.transpose("query", TRAINING, ...), first.recipe, tuple(warnings), passages=first.passages
    )


def _for_every_training(before: Scores, names: tuple[str, ...]) -> Scores:
    """Repeat the backbone's scores along a dimension `training`, once for each training."""
    wide = before.values.expand_dims({TRAINING: list(names)}).transpose("query", TRAINING, ...)
    return replace(before, values=wide)


def _over_both(before: Scores, trainings: Scores, level: float) -> pd.DataFrame:
    """Return the effect for each combination of labels, columns `EFFECT_COLUMNS`; `p_corrected` is still empty."""
    names = tuple(str(name) for name in trainings.values[TRAINING].values)
    before, after = align(_for_every_training(before, names), trainings)
    labels = [str(dim) for dim in after.values.dims[2:]]
    columns = [*labels, *EFFECT_COLUMNS]
    return pd.DataFrame(list(_cells(before, after, labels, level)), columns=columns)


def _cells(before: Scores, after: Scores, labels: list[str], level: float) -> Iterator[tuple[Any, ...]]:
    shape = (-1, after.values.sizes[TRAINING], int(np.prod(after.values.shape[2:])))
    old, new = (cell_values(scores).reshape(shape) for scores in (before, after))
    clusters = clusters_of(before if before.texts is not None else after)
    for cell, at in enumerate(product(*(after.values.indexes[dim] for dim in labels))):
        change = (new[:, :, cell] - old[:, :, cell]).T
        change[:, np.isnan(change).any(axis=0)] = np.nan  # paired: what every training and the backbone measured
        kept = ~np.isnan(change[0])
        if kept.sum() < 2:
            continue
        ends = (-1.0, 1.0) if np.nanmax(np.abs(change)) <= 1 else (-np.inf, np.inf)
        mean, p = crossed_mean(change, level, ends, clusters), crossed_p(change, clusters)
        spread = float(change[:, kept].mean(axis=1).std(ddof=1))
        means = (float(side[kept, :, cell].mean()) for side in (old, new))
        limits = (float(mean.low), float(mean.high))
        yield (*at, *means, float(mean.mean), *limits, p, np.nan, spread, len(change), int(kept.sum()))


def _corrected(frame: pd.DataFrame, family: "pd.Series[Any]") -> pd.DataFrame:
    """Fill `p_corrected` by Holm's correction within each family."""
    corrected = frame.copy()
    for _, part in frame.groupby(family):
        p = part["p"].to_numpy()
        corrected.loc[part.index, "p_corrected"] = correct("holm", p, np.zeros((0, len(p))), SignFlips())
    return corrected
