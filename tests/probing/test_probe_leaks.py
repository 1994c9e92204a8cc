"""The control of hash labels must fail where a split leaks, and must not where it does not."""

from dataclasses import replace

import numpy as np
import pytest
from planted import retriever

from retroscope.collection.records import Candidates
from retroscope.probing import settings as probing_settings
from retroscope.probing.grid import probe
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.splits import Choices, Split, disjoint_split
from retroscope.probing.tasks import build_task
from retroscope.representations.vectors import RetrieverRepresentations, representations_in_memory

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


def with_hash_labels(candidates, name, vectors=None, **known):
    settings = ProbeSettings(probes=(name,), controls=("hash_labels",), passages=(N,))
    return probe(vectors or world(), candidates, settings, **known)


def copied(candidates, copies):
    """Every query names its own copies of the passages: p3 is p3.0, p3.1 ..., of one text and one vector."""
    named = [f"p{p}.{c}" for p in range(PASSAGES) for c in range(copies)]
    one = world()
    passages = np.repeat(one.passage.layer(0), copies, axis=0)[:, None]
    vectors = RetrieverRepresentations("copies", one.query, representations_in_memory(named, passages), "dot", {})
    rows = [
        replace(c, positive=f"{c.positive}.{i % copies}", negatives=tuple(f"{p}.{i % copies}" for p in c.negatives))
        for i, c in enumerate(candidates)
    ]
    return vectors, rows, {name: int(name[1:].split(".")[0]) for name in named}


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


@pytest.mark.parametrize("name", ["passage_only", "elementwise"])
def test_hash_labels_fail_when_every_text_is_on_both_sides_under_other_ids(name, monkeypatch):
    """Hashed by id, the labels of copies differed, and the control read chance whatever leaked."""
    monkeypatch.setitem(
        probing_settings.PROTOCOLS,
        "default",
        probing_settings.Protocol(split=leaking_split, probes=(name,), controls=("hash_labels",)),
    )
    vectors, rows, texts = copied(choices_among(80), 2)
    assert with_hash_labels(rows, name, vectors, passage_texts=texts).scores.mean().item() > 0.6


def test_no_text_is_on_both_sides_under_other_ids():
    _, rows, texts = copied(choices_among(PASSAGES), 10)
    by_id, by_text = build_task(rows, N), build_task(rows, N, passage_texts=texts)
    for task, shared in ((by_id, True), (by_text, False)):
        split = disjoint_split(task, 0)
        train, test = (
            {texts[task.passage_ids[p]] for p in part.passages.ravel()} for part in (split.train, split.test)
        )
        assert bool(train & test) == shared


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
