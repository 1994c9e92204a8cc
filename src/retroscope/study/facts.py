"""From JSON-like facts, as an artefact holds them, to the types of the report."""

from collections.abc import Mapping
from typing import Any

from retroscope.reporting.findings import Model, SelfTest, Tower


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
