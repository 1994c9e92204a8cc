"""The published way of embedding is for the neuron counts; retrieval under ablation stays the retriever's own."""

from dataclasses import replace
from pathlib import Path

import pytest

from retroscope.analyses.neurons.ablation_curves import ablation_curves
from retroscope.analyses.neurons.sides import measure_neurons
from retroscope.collection.loading import load_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.study import neuron_sides
from tiny_study import QUICK, Tiny, make_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def test_the_published_protocol_ablates_the_retriever_as_it_searches(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retriever = load_retriever(tiny.retriever, pooling="mean", max_length=32, protocol="ielab-2025")
    collection = load_collection(tiny.data)
    ablated: list[Retriever] = []

    def watched(retriever, *rest, **named):
        ablated.append(retriever)
        return ablation_curves(retriever, *rest, **named)

    monkeypatch.setattr(neuron_sides, "ablation_curves", watched)
    settings = replace(QUICK, protocol="ielab-2025")
    found = measure_neurons(retriever, collection, hard_negatives(collection, 4).candidates, settings, cache=tmp_path)
    assert ablated == [retriever]
    assert found.side.recipe["recipe"]["pad_to_max"] is False  # the counts are of the published batches
    assert retriever.passage.recipe.pad_to_max is True
    assert any("under another recipe" in w for w in found.side.ablation.warnings)
