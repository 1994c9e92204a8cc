"""The subject of a report from the facts that a study's folder stores, and these facts from loaded models."""

from retroscope.encoders.checks.proofs import SelfTest
from retroscope.typesetting.subject import (
    CollectionFacts,
    CollectionRecord,
    Model,
    ModelFacts,
    SelfTestFacts,
    Tower,
)


def model_from_facts(facts: ModelFacts) -> Model:
    """Return a model as a report names it, from the facts about it."""
    towers = tuple(
        Tower(
            tower["role"],
            tower["recipe"],
            tower["proof"],
            tuple(tower["layer_names"]),
            tower["fingerprint"],
            tuple(_self_test(test) for test in tower["self_tests"]),
        )
        for tower in facts["towers"]
    )
    return Model(facts["name"], facts["similarity"], towers)


def _self_test(facts: SelfTestFacts) -> SelfTest:
    """Read a self-test; null in JSON stands for a distance that is not finite."""
    value = float("inf") if facts["value"] is None else facts["value"]
    return SelfTest(facts["name"], facts["passed"], value, facts["tolerance"], facts["detail"])


def collection_from_facts(facts: CollectionRecord) -> CollectionFacts:
    """Return a collection as a report names it, from the facts about it."""
    return CollectionFacts(**facts)
