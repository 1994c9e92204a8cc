"""A comparison attributes both towers, and the margins of both sides are against the same passage."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from retroscope.study.compare import compare
from retroscope.study.html import render
from retroscope.study.summary import summary
from retroscope.study.tables import paper_tables, write_tables
from torch.nn.functional import normalize

from retroscope.analyses.neurons.attribute import attribute
from retroscope.attribution.settings import NeuronSettings
from retroscope.attribution.units import collection_units, with_shared_negatives
from retroscope.collection.collection import Collection
from retroscope.collection.negatives import hard_negatives
from retroscope.encoders.encode import encode_layers
from retroscope.encoders.encoder import Retriever
from retroscope.errors import SettingsError
from retroscope.study.settings import StudySettings
from retroscope.study.study import Study, load_study
from retroscope.study.verdict import verdict
from tiny_study import QUICK

SIDES = ("before", "after")


def test_both_towers_are_attributed_and_kept(study: Study, tmp_path: Path) -> None:
    study.save(tmp_path)
    for made in (study, load_study(tmp_path)):
        towers = [made.neurons, made.query_neurons]
        assert [n.sides[side].recipe["tower"] for n in towers for side in SIDES] == ["passage"] * 2 + ["query"] * 2
        assert all(
            n.sides[side].ablation.recipe["towers"] == [t]
            for n, t in zip(towers, ("passage", "query"), strict=True)
            for side in SIDES
        )
    assert summary(study)["query_neurons"]["after"]["recipe"]["tower"] == "query"


def test_the_margins_of_both_sides_and_towers_are_against_the_same_passage(study: Study) -> None:
    found = [n.sides[side] for n in (study.neurons, study.query_neurons) for side in SIDES]
    negatives = [side.scores.values.coords["negative"].values.tolist() for side in found]
    assert all(some == negatives[0] for some in negatives)
    assert all("both retrievers" in side.recipe["negative"] for side in found)
    assert not any("different hard negatives" in text for text in study.facts["caveats"])


def test_alone_each_retriever_would_take_another_negative(
    backbone: Retriever, retriever: Retriever, collection: Collection
) -> None:
    """The control: with each side's own hardest the two differ, so that the agreement above is no accident."""
    candidates = hard_negatives(collection, 4).candidates
    alone = [
        [u.negative for u in collection_units(r, collection, candidates, NeuronSettings())]
        for r in (backbone, retriever)
    ]
    assert alone[0] != alone[1]


def test_the_shared_negative_has_the_smallest_mean_rank(
    backbone: Retriever, retriever: Retriever, collection: Collection
) -> None:
    candidates = hard_negatives(collection, 4).candidates
    settings = NeuronSettings(limit=5)
    for made in with_shared_negatives((backbone, retriever), collection, candidates, settings):
        given = next(c.negatives for c in candidates if c.query_id == made.query_id)
        ranks = np.zeros(len(given))
        for r in (backbone, retriever):
            texts = [collection.queries[made.query_id].text, *map(collection.passage_text, given)]
            query, *passages = normalize(encode_layers(r.passage, texts).final, dim=-1)
            order = sorted(range(len(given)), key=lambda k: -float(query @ passages[k]))
            ranks += [order.index(k) for k in range(len(given))]
        (negative,) = made.negatives
        assert ranks[given.index(negative)] == ranks.min()


def test_the_report_shows_both_towers(study: Study, tmp_path: Path) -> None:
    findings = study.findings()
    page = render(findings, ())
    assert page.count('<section id="neurons">') == page.count('<section id="query_neurons">') == 1
    assert "Neurons, query tower" in page
    said = verdict(findings)
    texts = [s.text for s in (*said.everything(), *said.unconfirmed)]
    for tower in ("Passage", "Query"):
        assert any(text.startswith(f"{tower} tower: Ablation") for text in texts)
        assert any(text.startswith(f"{tower} tower: Completeness") for text in texts)
    names = {path.name for path in write_tables(findings, tmp_path / "tables")}
    assert {"neuron_ablation.csv", "query_neuron_ablation.csv", "neurons.parquet", "query_neurons.parquet"} <= names
    assert paper_tables(findings)["query_neuron_shares"].caption.startswith("Query tower. ")


def test_one_tower_is_enough_if_it_is_asked_for(
    backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path
) -> None:
    settings = replace(
        QUICK, neurons=replace(QUICK.neurons, tower="query"), transplants=None, drift=None, ablation=None
    )
    made = compare(backbone, retriever, collection, settings, cache=cache)
    assert made.neurons.sides["after"].recipe["tower"] == "query"
    assert made.query_neurons is None
    assert not any(s.text.startswith("Query tower") for s in verdict(made.findings()).unconfirmed)


def test_a_retriever_alone_has_one_tower(retriever: Retriever, collection: Collection) -> None:
    made = attribute(retriever, collection, NeuronSettings(limit=2, quadrature="gauss:1"))
    assert made.recipe["tower"] == "passage"
    with pytest.raises(SettingsError, match=r"one attribution scales one tower(.|\n)*give query or passage"):
        attribute(retriever, collection, NeuronSettings(limit=2, tower="both"))


def test_settings_name_the_towers_of_a_comparison() -> None:
    assert StudySettings().neurons.towers == NeuronSettings(tower="both").towers == ("passage", "query")
    assert NeuronSettings(tower="query").towers == ("query",)
    with pytest.raises(SettingsError, match="unknown tower"):
        NeuronSettings(tower="left")
