"""Retrieval by layer for every single query, as data for the page's script."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from retroscope.analyses.layers.result import LayerEffects
from retroscope.scores import Scores, align
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

DIGITS = 4


def page_layers(one: LayerEffects, subject: Subject) -> dict[str, Any]:
    """Return every query's headline score and, if stored, the rank of its first relevant passage, at every layer.

    Each list has one entry for each query, in the order of "ids": a list with one value for each layer.
    """
    sides = dict(zip((BEFORE, AFTER), align(one.effect.before, one.effect.after), strict=True))
    measured = [str(name) for name in sides[AFTER].values["measure"].values]
    measure = next((name for name in subject.measures[:1] if name in measured), measured[0])
    ids = sides[AFTER].query_ids
    return {
        "collection": one.collection,
        "measure": measure,
        "layers": [subject.layer_label(int(layer)) for layer in sides[AFTER].values["layer"].values],
        "ids": ids,
        "scores": {side: _numbers(scores, measure) for side, scores in sides.items()},
        "ranks": None if one.first_ranks is None else {side: _ranks(one.first_ranks, side, ids) for side in sides},
    }


def _ranks(first_ranks: pd.DataFrame, side: str, ids: Sequence[str]) -> list[list[int]]:
    ranks: list[list[int]] = (
        first_ranks.pivot(index="query", columns="layer", values=side).loc[list(ids)].to_numpy().tolist()
    )
    return ranks


def _numbers(scores: Scores, measure: str) -> list[list[float | None]]:
    values = np.round(scores.select(measure=measure).values.transpose("query", "layer").values, DIGITS)
    return [[None if np.isnan(value) else float(value) for value in row] for row in values]
