"""Several trainings of a study: from per-query scores to intervals over trainings and queries together."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from retroscope.analyses.trainings.result import EFFECT_COLUMNS, TrainingFindings
from retroscope.scores import Scores, align
from retroscope.statistics.cells import cell_values
from retroscope.statistics.clusters import clusters_of
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.correction import correct
from retroscope.statistics.crossed import crossed_mean, crossed_p
from retroscope.statistics.flips import SignFlips
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.frames import rows

TRAINING = "training"  # the dimension
RETRIEVAL, PROBING = "trainings/retrieval", "trainings/probing"
TRAINING_SCORES = (RETRIEVAL, PROBING)


def training_findings(
    scores: Mapping[str, Scores], headline: str, settings: ComparisonSettings
) -> TrainingFindings | None:
    """Return what the report says of several trainings; None where there is one.

    Args:
        scores: of the study.
        headline: measure that is a family of its own; all others are another.
        settings: level of the intervals, and how each training is tested.
    """
    if RETRIEVAL not in scores:
        return None
    trainings = scores[RETRIEVAL]
    names = tuple(str(name) for name in trainings.values[TRAINING].values)
    wide = _for_every_training(scores["before/retrieval"], names)
    level = settings.intervals.level
    retrieval = _over_trainings(scores["before/retrieval"], trainings, level)
    probing = None
    if PROBING in scores:
        read = without_controls(scores["before/probing"], scores[PROBING].values["probe"].values)
        frame = _over_trainings(read, scores[PROBING], level)
        probing = _corrected(frame, frame["probe"])
    return TrainingFindings(
        names=names,
        each=compare_scores(wide, trainings, replace(settings, family_per=(TRAINING,), headline=("measure", headline))),
        retrieval=_corrected(retrieval, retrieval["measure"] == headline),
        probing=probing,
        level=level,
    )


def without_controls(scores: Scores, probes: Any) -> Scores:
    """Return the accuracies of some probes, (query, probe, passages, layer)."""
    return replace(scores, values=scores.values.sel(probe=list(probes), control="none").drop_vars("control"))


def _for_every_training(before: Scores, names: tuple[str, ...]) -> Scores:
    """The backbone, once for each training that is held against it."""
    wide = before.values.expand_dims({TRAINING: list(names)}).transpose("query", TRAINING, ...)
    return replace(before, values=wide)


def _over_trainings(before: Scores, trainings: Scores, level: float) -> pd.DataFrame:
    """One row a cell: its labels and `EFFECT_COLUMNS`, `p_corrected` not yet known."""
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
        found, p = crossed_mean(change, level, ends, clusters), crossed_p(change, clusters)
        spread = float(change[:, kept].mean(axis=1).std(ddof=1))
        means = (float(side[kept, :, cell].mean()) for side in (old, new))
        limits = (float(found.low), float(found.high))
        yield (*at, *means, float(found.mean), *limits, p, np.nan, spread, len(change), int(kept.sum()))


def _corrected(frame: pd.DataFrame, family: "pd.Series[Any]") -> pd.DataFrame:
    """The rows with `p_corrected` (Holm) within each family."""
    corrected = frame.copy()
    for _, part in frame.groupby(family):
        p = part["p"].to_numpy()
        corrected.loc[part.index, "p_corrected"] = correct("holm", p, np.zeros((0, len(p))), SignFlips())
    return corrected


def training_document(findings: TrainingFindings | None) -> dict[str, Any] | None:
    """Return several trainings for `summary.json`."""
    if findings is None:
        return None
    probing = findings.probing
    return {
        "names": list(findings.names),
        "retrieval": findings.retrieval.to_dict(orient="records"),
        "probing": [] if probing is None else probing.to_dict(orient="records"),
        "each": rows(findings.each).to_dict(orient="records"),
        "level": findings.level,
    }
