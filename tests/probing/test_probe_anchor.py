"""Learned probes shrink to the retriever's similarity: they never read less than it, whatever the width."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import N_QUERIES, chance_tolerance, choices, retriever, signal

from retroscope.probing.controls import View
from retroscope.probing.grid import probe
from retroscope.probing.probes.logit import FitColumns, best_ridge
from retroscope.probing.settings import ProbeSettings
from retroscope.representations.vectors import representations_in_memory
from retroscope.statistics.resampling.clusters import Clusters, independent

ANCHORED = ("elementwise", "bilinear", "mean_difference")
OWN = ("none",)


def wide(dim, snr=4.0, seed=4):
    """Passage i is query i and noise; q.p separates by about `snr` standard deviations at every width."""
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=(N_QUERIES, 1, dim))
    return retriever(queries, queries * snr / dim**0.5 + rng.normal(size=(N_QUERIES, 1, dim)))


def scores(world, probes, **options):
    return probe(world, choices(), ProbeSettings(probes=probes, controls=OWN, **options)).scores.values.sel(
        control="none", layer=0
    )


@pytest.mark.parametrize("dim", [16, 128, 512])
def test_no_probe_lies_below_the_similarity_by_more_than_its_interval(dim):
    """Paired by query; at width 512 weights that shrink to 0 read .32 less at N=5."""
    accuracies = scores(wide(dim), ("dot", *ANCHORED), passages=(2, 5))
    assert accuracies.sel(probe="dot", passages=5).mean() > 0.85, "the similarity should read most"
    for name in ANCHORED:
        gap = accuracies.sel(probe=name) - accuracies.sel(probe="dot")
        error = gap.std("query", ddof=1) / N_QUERIES**0.5
        assert np.all(gap.mean("query") >= -1.96 * error), (name, gap.mean("query").values)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_a_similarity_that_is_large_beside_its_differences_is_still_the_anchor(similarity):
    """All texts share one large dimension, as in decoders: the differences are 3e-6 of the similarity."""
    plain = wide(64, snr=2.0)
    queries, passages = (tower.layer(0)[:, None].copy() for tower in (plain.query, plain.passage))
    queries[:, :, 0] = passages[:, :, 0] = 3000
    world = replace(retriever(queries, passages), similarity=similarity)
    accuracies = scores(world, ("dot", *ANCHORED), passages=(5,))
    assert accuracies.sel(probe="dot").mean() > 0.5
    for name in ANCHORED:
        gap = accuracies.sel(probe=name, passages=5) - accuracies.sel(probe="dot", passages=5)
        assert gap.mean() >= -1.96 * gap.std(ddof=1) / N_QUERIES**0.5, (name, gap.mean().item())


def test_vectors_that_are_equal_for_all_texts_give_no_anchor():
    """Layer-0 CLS vectors: what their similarities differ by is rounding."""
    rng = np.random.default_rng(0)
    equal = np.full((N_QUERIES, 1, 64), 0.3) * (1 + 1e-8 * rng.normal(size=(N_QUERIES, 1, 64)))
    accuracies = scores(retriever(equal, equal.copy()), ANCHORED, passages=(5,))
    assert np.allclose(accuracies, 0.2)


def test_what_the_similarity_misses_is_still_learned():
    """With signs no similarity reads anything: the anchor must not hold the weights back."""
    signs = np.where(np.arange(16) % 2, 1.0, -1.0)
    accuracies = scores(signal(lambda q: q * signs), ("dot", "elementwise"), passages=(3,)).mean("query")
    assert abs(accuracies.sel(probe="dot").item() - 1 / 3) < chance_tolerance(3)
    assert accuracies.sel(probe="elementwise").item() > 0.75


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("name", ANCHORED)
def test_at_a_vast_ridge_a_probe_is_the_similarity_query_by_query(similarity, name):
    lengths = np.random.default_rng(5).lognormal(sigma=1.0, size=(N_QUERIES, 1, 1))
    plain = wide(32)
    queries, passages = (tower.layer(0)[:, None].copy() for tower in (plain.query, plain.passage))
    world = replace(retriever(queries, passages * lengths), similarity=similarity)
    accuracies = scores(world, ("dot", "cosine", name), passages=(2, 5), ridge=(1e9,))
    other = {"dot": "cosine", "cosine": "dot"}[similarity]
    assert np.array_equal(accuracies.sel(probe=name), accuracies.sel(probe=similarity))
    assert not np.array_equal(accuracies.sel(probe=name), accuracies.sel(probe=other)), "the lengths should matter"


def test_a_probe_that_reads_no_query_has_no_anchor():
    by_dot, by_cosine = (
        scores(replace(wide(32), similarity=s), ("passage_only",), passages=(3,)) for s in ("dot", "cosine")
    )
    assert np.array_equal(by_dot, by_cosine)
    assert abs(float(by_dot.mean()) - 1 / 3) < chance_tolerance(3)


def test_shuffled_queries_shuffle_the_anchor():
    """An anchor of the true query would read the similarity under the control that must not."""
    settings = ProbeSettings(probes=ANCHORED, passages=(3,), controls=("shuffled_queries",), ridge=(1e9,))
    probed = probe(wide(32), choices(), settings).scores.mean()
    assert np.all(np.abs(probed - 1 / 3) < chance_tolerance(3)), probed


def test_a_code_is_not_longer_for_a_wider_similarity():
    """Width 512: weights that shrink to 0 compress to 1.20 only."""
    for dim in (16, 512):
        result = probe(wide(dim), choices(), ProbeSettings(probes=("mdl",), passages=(5,), controls=OWN, seeds=2))
        assert result.compression().item() > 2.0


def test_the_anchor_never_reverses_the_similarity_and_weights_can():
    """Relevant passages are the least similar: at a vast ridge the probe repeats that, with weights it learns it."""
    world = signal(lambda q: -q)
    held, free = (scores(world, ("dot", "elementwise"), passages=(3,), ridge=ridge) for ridge in ((1e9,), (0.1, 1.0)))
    assert float(held.sel(probe="dot").mean()) < 0.1
    assert np.array_equal(held.sel(probe="elementwise"), held.sel(probe="dot"))  # with a free sign: above .9
    assert float(free.sel(probe="elementwise").mean()) > 0.75


def test_choices_of_one_text_are_one_observation_where_a_ridge_is_chosen():
    """The larger ridge loses by 1.5 standard errors of 160 choices, .5 of the 20 texts that they belong to."""
    rng = np.random.default_rng(6)
    texts = np.repeat(np.arange(20), 8)
    worse = rng.normal(size=20)
    worse = (worse - worse.mean()) / worse.std(ddof=1) + 0.5 / 20**0.5
    losses = torch.from_numpy(np.stack([np.ones(160), 1 + worse[texts]], axis=1))
    columns = FitColumns(View(("none",), {}, {}, (5,), 0), (0.1, 10.0))
    assert best_ridge(losses, columns, independent(160)).item() == 0, "the control: as if all were independent"
    assert best_ridge(losses, columns, Clusters(texts)).item() == 1
    assert best_ridge(losses, columns, None).item() == 0


def test_copies_of_every_query_are_no_evidence_for_a_smaller_ridge():
    """A made collection whose queries are asked eight times, under ids of their own, and one that knows of no copy."""
    copies = 8
    world, once = wide(32, snr=1.0), choices(60, negatives=20)
    many = [replace(c, query_id=f"{c.query_id}-{k}") for c in once for k in range(copies)]
    ids = [c.query_id for c in many]
    vectors = world.query.layer(0)[world.query.rows([i.split("-")[0] for i in ids])]
    again = replace(world, query=representations_in_memory(ids, vectors[:, None].copy()))
    texts = {i: int(i.split("-")[0][1:]) for i in ids}
    settings = ProbeSettings(probes=("elementwise",), controls=OWN, passages=(3,))
    known, unknown = (probe(again, many, settings, texts=t).fits["ridge"].values.mean() for t in (texts, None))
    assert known > unknown
