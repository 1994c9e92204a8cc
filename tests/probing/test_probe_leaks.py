"""The control of hash labels must fail where a split leaks, and must not where it does not."""

import numpy as np
import pytest
from planted import retriever

from retroscope.collection.records import Candidates
from retroscope.probing import settings as probing_settings
from retroscope.probing.grid import probe
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.splits import Choices, Split

QUERIES, PASSAGES, DIM, N = 400, 400, 128, 5


def world():
    """Vectors that know nothing: passages can be told apart, and nothing else can be learned of them."""
    rng = np.random.default_rng(0)
    return retriever(rng.normal(size=(QUERIES, 1, DIM)) + 2.0, rng.normal(size=(PASSAGES, 1, DIM)))


def choices_among(n_passages):
    """Each query has its own passage and 40 others, of the first `n_passages`."""
    rng = np.random.default_rng(1)
    rows = []
    for i in range(QUERIES):
        own = i % n_passages
        others = [j for j in rng.permutation(n_passages) if j != own][:40]
        rows.append(Candidates(f"q{i}", f"p{own}", tuple(f"p{j}" for j in others)))
    return rows


def leaking_split(task, seed):
    """By query alone: every passage is on both sides."""
    order = np.random.default_rng(seed).permutation(len(task.query))
    parts = [Choices(task.query[rows], task.passages[rows, : task.size]) for rows in np.split(order, [280, 340])]
    assert {*parts[2].passages.ravel()} <= {*parts[0].passages.ravel()}
    return Split(seed, *parts)


def with_hash_labels(candidates, name):
    return probe(world(), candidates, ProbeSettings(probes=(name,), controls=("hash_labels",), passages=(N,)))


@pytest.mark.parametrize("name", ["passage_only", "elementwise", "bilinear"])
def test_hash_labels_read_chance_when_no_passage_is_on_both_sides(name):
    """Within 4 binomial standard errors: each query is tested once."""
    mean = with_hash_labels(choices_among(PASSAGES), name).scores.mean().item()
    assert abs(mean - 1 / N) < 4 * (1 / N * (1 - 1 / N) / QUERIES) ** 0.5


@pytest.mark.parametrize("name", ["passage_only", "elementwise", "bilinear"])
def test_hash_labels_fail_when_every_passage_is_on_both_sides(name, monkeypatch):
    monkeypatch.setitem(
        probing_settings.PROTOCOLS,
        "default",
        probing_settings.Protocol(split=leaking_split, probes=(name,), controls=("hash_labels",)),
    )
    result = with_hash_labels(choices_among(80), name)
    mean = result.scores.mean().item()
    assert mean > 0.6
    assert float(result.fits["train_accuracy"].mean()) >= mean - 0.05


def test_a_probe_that_fits_keeps_its_training_accuracy():
    """Many weights, few choices: arbitrary labels are memorised in training and worth nothing in the test."""
    settings = ProbeSettings(
        probes=("cosine", "elementwise"), controls=("none", "hash_labels"), passages=(2,), ridge=(0.01,)
    )
    result = probe(world(), choices_among(PASSAGES), settings)
    fits = result.fits["train_accuracy"]
    assert np.isnan(fits.sel(probe="cosine")).all()
    assert (fits.sel(probe="elementwise") > 0.85).all()
    tested = result.scores.mean().sel(probe="elementwise", control="hash_labels").item()
    assert abs(tested - 0.5) < 4 * (0.25 / QUERIES) ** 0.5
