"""What each probe can and cannot see, in worlds where the answer is planted."""

import numpy as np
import pytest
from planted import DIM, N_QUERIES, chance_tolerance, choices, nothing, prior, retriever, signal

from retroscope.probing.grid import probe
from retroscope.probing.options import ConcatTraining
from retroscope.probing.probes import PROBES
from retroscope.probing.settings import ProbeSettings

LEARNED = ("passage_only", "elementwise", "bilinear", "mean_difference")
SIGNS = np.where(np.arange(DIM) % 2, 1.0, -1.0)
TURN = np.roll(np.arange(DIM), 1)


def accuracy(world, probes, *, control="none", n=3, pool="gold", **options):
    settings = ProbeSettings(probes=probes, passages=(2, n), rank=DIM, **options)
    return probe(world, choices(pool=pool), settings).scores.mean().sel(control=control, passages=n, layer=0)


@pytest.mark.parametrize(
    ("transform", "sees", "blind"),
    [
        (lambda q: q, ("dot", "cosine", "elementwise", "bilinear", "mean_difference"), ("passage_only",)),
        (lambda q: q * SIGNS, ("elementwise", "bilinear", "mean_difference"), ("dot", "cosine", "passage_only")),
        (lambda q: q[:, TURN], ("bilinear",), ("dot", "cosine", "elementwise", "mean_difference", "passage_only")),
    ],
    ids=["same dimensions", "with signs", "other dimensions"],
)
def test_a_planted_match_is_seen_by_those_whose_form_can_hold_it(transform, sees, blind):
    accuracies = accuracy(signal(transform), (*sees, *blind))
    assert np.all(accuracies.sel(probe=list(sees)) > 0.75), accuracies
    assert np.all(np.abs(accuracies.sel(probe=list(blind)) - 1 / 3) < chance_tolerance(3)), accuracies


def test_a_planted_prior_is_seen_without_the_query():
    accuracies = accuracy(prior(), ("passage_only", "dot", "cosine"), pool="others")
    assert accuracies.sel(probe="passage_only") > 0.9
    for blind in ("dot", "cosine"):
        assert abs(accuracies.sel(probe=blind) - 1 / 3) < chance_tolerance(3)


def test_the_published_probe_sees_the_prior_and_not_the_match():
    """concat is trained long enough here to converge; more training does not help it to read."""
    long = ConcatTraining(learning_rate=0.01, epochs=60)
    match = accuracy(signal(noise=0.1), ("concat", "cosine"), seeds=5, controls=("none",), concat=long)
    assert match.sel(probe="cosine") > 0.95
    assert abs(match.sel(probe="concat") - 1 / 3) < chance_tolerance(3)
    accuracies = accuracy(prior(), ("concat",), pool="others", controls=("none",), concat=long)
    assert accuracies.sel(probe="concat") > 0.6


@pytest.mark.parametrize("control", ["shuffled_queries", "hash_labels"])
def test_controls_read_chance_where_the_probe_reads_the_truth(control):
    probes = ("dot", "cosine", *LEARNED)
    accuracies = accuracy(signal(), probes, control=control)
    assert np.all(np.abs(accuracies - 1 / 3) < chance_tolerance(3)), accuracies


def test_a_prior_survives_shuffled_queries_so_selectivity_is_nothing():
    result = probe(prior(), choices(pool="others"), ProbeSettings(probes=("passage_only",), passages=(3,)))
    shuffled = result.scores.mean().sel(control="shuffled_queries")
    assert shuffled.item() > 0.9
    assert result.selectivity().item() == 0.0


def test_nothing_is_read_where_nothing_is():
    accuracies = accuracy(nothing(), ("dot", "cosine", *LEARNED), n=4)
    assert np.all(np.abs(accuracies - 1 / 4) < chance_tolerance(4)), accuracies


@pytest.mark.parametrize("rounding", [0.0, 1e-7])
@pytest.mark.parametrize("name", [name for name in PROBES if name != "concat"])
def test_equal_vectors_read_exactly_one_nth(name, rounding):
    """Layer-0 CLS: all texts have the same vector, give or take float32 rounding."""
    rng = np.random.default_rng(0)
    same = np.broadcast_to(rng.normal(size=DIM), (2, N_QUERIES, 1, DIM))
    queries, passages = same * (1 + rounding * rng.uniform(-1, 1, size=same.shape))
    probed = probe(retriever(queries, passages), choices(), ProbeSettings(probes=(name,), passages=(2, 5), seeds=2))
    for n in (2, 5):
        assert np.all(probed.scores.values.sel(passages=n, control="none") == 1 / n)


def test_the_code_is_short_where_relevance_is_and_uniform_where_it_is_not():
    result = probe(signal(), choices(), ProbeSettings(probes=("mdl",), passages=(3,), seeds=2))
    compression = result.compression().sel(passages=3, layer=0)
    assert compression.sel(control="none") > 2
    for control in ("shuffled_queries", "hash_labels"):
        assert 0.9 < compression.sel(control=control) < 1.02
