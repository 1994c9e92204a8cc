"""The finding that the published probe could not make, on real text and a real retriever."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retroscope.collection.loading import load_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.encoders.loading import load_retriever
from retroscope.probing import settings as probing_settings
from retroscope.probing.grid import probe
from retroscope.probing.settings import ProbeSettings
from retroscope.representations.represent import represent

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "audit"))
from hash_labels import among, leaking_split

N_QUERIES = 300
BLIND = "passage_only"


@pytest.fixture(scope="module")
def made(shared, minilm, tmp_path_factory):
    whole = load_collection(f"beir:{shared / 'data' / 'nq-open-gold'}")
    judged = whole.judgments[:N_QUERIES]
    gold = {j.passage_id for j in judged}
    small = replace(
        whole,
        queries={j.query_id: whole.queries[j.query_id] for j in judged},
        passages={p: whole.passages[p] for p in whole.passages if p in gold},
        judgments=judged,
    )
    retriever, cache = load_retriever(str(minilm)), tmp_path_factory.mktemp("vectors")
    return represent(retriever, small, cache), hard_negatives(small, 100).candidates


@pytest.fixture(scope="module")
def result(made):
    settings = ProbeSettings(
        probes=("cosine", BLIND, "elementwise"),
        controls=("none", "shuffled_queries", "hash_labels"),
        passages=(5,),
        layers=(0, 3, 6),
    )
    return probe(*made, settings)


pytestmark = [pytest.mark.real, pytest.mark.shared]


def test_relevance_becomes_readable_towards_the_last_layer(result):
    cosine = result.scores.mean().sel(probe="cosine", control="none", passages=5)
    assert cosine.sel(layer=6) > 0.9
    assert cosine.sel(layer=6) - cosine.sel(layer=0) > 0.15
    assert cosine.sel(layer=0) > 0.5


def test_a_learned_probe_is_no_worse_than_the_similarity(result):
    """At the last layer of MiniLM, where the probes once read .868 and the cosine .923."""
    last = result.scores.mean().sel(control="none", passages=5, layer=6)
    assert float(last.sel(probe="elementwise")) >= 0.92
    assert float(last.sel(probe="elementwise")) >= float(last.sel(probe="cosine")) - 0.01


def test_hash_labels_read_a_leak(made, monkeypatch):
    """Every passage of the test occurs in training: the hashes learned there are right here."""
    vectors, candidates = made
    published = probing_settings.PROTOCOLS["default"]
    monkeypatch.setitem(probing_settings.PROTOCOLS, "default", replace(published, split=leaking_split))
    settings = ProbeSettings(probes=(BLIND,), controls=("hash_labels",), passages=(5,), seeds=5, layers=(6,))
    assert float(probe(vectors, among(candidates), settings).scores.values.mean()) > 0.6


def test_a_probe_that_does_not_read_the_query_sees_no_layer_change(result):
    blind = result.scores.mean().sel(probe=BLIND, control="none", passages=5)
    assert np.all(blind < 0.38)
    assert float(blind.max() - blind.min()) < 0.15


def test_controls_are_near_chance(result):
    means = result.scores.mean().sel(passages=5)
    for probe_name, control in [("cosine", "shuffled_queries"), ("elementwise", "hash_labels")]:
        tolerance = 4 * (0.2 * 0.8 / N_QUERIES) ** 0.5
        assert np.all(np.abs(means.sel(probe=probe_name, control=control) - 0.2) < tolerance)


def test_learned_probes_converge_on_real_vectors(result):
    assert result.fits["converged"].all()
    assert result.warnings == ()
