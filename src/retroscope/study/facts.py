"""From JSON-like facts, as an artefact holds them, to the types of the report."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from retroscope.reporting.findings import Model, RankedPassage, SelfTest, TopPassages, Tower


def model_of(facts: Mapping[str, Any]) -> Model:
    """A side of the findings, from the facts about a model."""
    towers = tuple(
        Tower(
            **{**tower, "layer_names": tuple(tower["layer_names"])}
            | {"self_tests": tuple(_self_test(test) for test in tower["self_tests"])}
        )
        for tower in facts["towers"]
    )
    return Model(facts["name"], facts["similarity"], towers)


def _self_test(facts: Mapping[str, Any]) -> SelfTest:
    """A distance that is not finite is null in JSON."""
    return SelfTest(**{**facts, "value": float("inf") if facts["value"] is None else facts["value"]})


def top_passages(sides: Mapping[str, Any]) -> TopPassages:
    """The tops of both rankings of one query."""
    before, after = (tuple(RankedPassage(**hit) for hit in sides[side]) for side in ("before", "after"))
    return TopPassages(before, after)


def seed_spread(seeds: pd.DataFrame | None) -> pd.DataFrame | None:
    """Standard deviation over the seeds, and the mean accuracy in training, of every cell."""
    if seeds is None:
        return None
    cell = ["side", "probe", "control", "n_passages", "layer"]
    known = seeds if "train_accuracy" in seeds else seeds.assign(train_accuracy=float("nan"))  # an older study
    groups = known.groupby(cell, sort=False)
    return groups.agg(sd=("accuracy", "std"), train_accuracy=("train_accuracy", "mean")).reset_index()
