"""The subject of a report from the facts that a study's folder stores, and these facts from loaded models."""

from collections.abc import Mapping
from typing import Any

from retroscope.encoders.checks.proofs import SelfTest
from retroscope.typesetting.subject import CollectionFacts, Model, Tower


def model_from_facts(facts: Mapping[str, Any]) -> Model:
    """Return a model as a report names it, from the facts about it."""
    towers = tuple(
        Tower(
            **{**tower, "layer_names": tuple(tower["layer_names"])}
            | {"self_tests": tuple(_self_test(test) for test in tower["self_tests"])}
        )
        for tower in facts["towers"]
    )
    return Model(facts["name"], facts["similarity"], towers)


def _self_test(facts: Mapping[str, Any]) -> SelfTest:
    """Read a self-test; null in JSON stands for a distance that is not finite."""
    return SelfTest(**{**facts, "value": float("inf") if facts["value"] is None else facts["value"]})


def collection_from_facts(facts: Mapping[str, Any]) -> CollectionFacts:
    """Return a collection as a report names it, from the facts about it."""
    return CollectionFacts(**facts)
