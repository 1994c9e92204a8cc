"""Convert the stored facts about models and collections to the types that a report prints."""

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
    """Convert the facts about a model that `study.json` records to the type that a report prints."""
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
    """Make a self-test from stored facts. Null stands for a distance that is not finite."""
    value = float("inf") if facts["value"] is None else facts["value"]
    return SelfTest(facts["name"], facts["passed"], value, facts["tolerance"], facts["detail"])


def collection_from_facts(facts: CollectionRecord) -> CollectionFacts:
    """Convert the facts about a collection that `study.json` records to the type that a report prints."""
    return CollectionFacts(**facts)
