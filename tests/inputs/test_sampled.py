"""A sample draws queries whole and without regard to how many passages were judged for them."""

from itertools import pairwise

import numpy as np
import pytest

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.inputs.sampled import ENOUGH, FEWEST, HARD, sampled, stratified

MANY = 400  # queries
JUDGED = (1, 2, 4, 8, 16, 32)  # by turns


def judged_of(query: int) -> list[int]:
    """Which passages are judged for a query; every third of them is not relevant."""
    return [(37 * query + 11 * k) % 3000 for k in range(JUDGED[query % len(JUDGED)])]


@pytest.fixture(scope="module")
def wide() -> Collection:
    """400 queries with 1 to 32 judged passages each, 3,000 passages."""
    judgments = [
        Judgment(f"q{i}", f"p{p}", 0 if k % 3 == 2 else 1) for i in range(MANY) for k, p in enumerate(judged_of(i))
    ]
    queries = [Query(f"q{i}", f"question {i}") for i in range(MANY)]
    return make_collection("wide", [Passage(f"p{i}", f"text {i}") for i in range(3000)], queries, judgments)


@pytest.fixture(scope="module")
def rankings(wide: Collection) -> list[dict[str, list[str]]]:
    """Two rankings of 100 passages for every query."""
    rng = np.random.default_rng(1)
    return [{query: [f"p{i}" for i in rng.permutation(3000)[:100]] for query in wide.queries} for _ in range(2)]


@pytest.mark.parametrize("passages", [0, 3000, 5000])
def test_a_corpus_that_is_small_enough_stays_whole(wide: Collection, passages: int) -> None:
    sample = sampled(wide, ["q1", "q3"], passages, seed=0)
    assert list(sample.queries) == ["q1", "q3"]
    assert list(sample.passages) == list(wide.passages)
    assert {j.query_id for j in sample.judgments} == {"q1", "q3"}


def test_every_judgment_of_a_drawn_query_is_kept_and_order_is_the_collections(wide: Collection) -> None:
    sample = sampled(wide, list(wide.queries), 1200, seed=0)
    assert sample.qrels == {query: wide.qrels[query] for query in sample.queries}
    assert any(grade == 0 for judged in sample.qrels.values() for grade in judged.values())
    for table, whole in ((sample.queries, wide.queries), (sample.passages, wide.passages)):
        order = list(whole)
        assert list(table) == sorted(table, key=order.index)


def test_queries_with_many_judgments_are_drawn_as_often_as_others(wide: Collection) -> None:
    """The sampler before skipped what did not fit: its queries had 2 judged passages where the collection's have 10."""
    sample = sampled(wide, list(wide.queries), 2000, seed=0)
    drawn = [len(wide.qrels[query]) for query in sample.queries]
    assert ENOUGH < len(drawn) < MANY
    for number in JUDGED:
        share = np.mean([n == number for n in drawn])
        assert share == pytest.approx(1 / len(JUDGED), abs=2 / len(drawn)), number  # a stratum errs by one at most
    old = [np.mean([len(wide.qrels[query]) for query in skipping(wide, 200, seed)]) for seed in range(10)]
    assert np.mean(old) < np.mean(JUDGED) - 1.5, "the fault that this replaces"


def skipping(collection: Collection, passages: int, seed: int) -> list[str]:
    """As queries were drawn before: what does not fit into half of the sample is left out."""
    chosen, kept = set[str](), list[str]()
    for at in np.random.default_rng(seed).permutation(len(collection.queries)):
        query = list(collection.queries)[at]
        relevant = {p for p, grade in collection.qrels[query].items() if grade > 0}
        if chosen and len(chosen | relevant) > passages // 2:
            continue
        kept.append(query)
        chosen |= relevant
    return kept


def test_every_beginning_of_the_order_has_every_strata() -> None:
    counts = [JUDGED[i % len(JUDGED)] for i in range(600)]
    order = stratified([str(i) for i in range(600)], counts, np.random.default_rng(3))
    assert sorted(order, key=int) == [str(i) for i in range(600)]
    for n in (60, 120, 301):
        drawn = [counts[int(query)] for query in order[:n]]
        for number in JUDGED:
            assert abs(drawn.count(number) - n / len(JUDGED)) <= 1


@pytest.mark.parametrize("hard", [0.25, HARD, 2.0])
def test_others_compete_with_each_judged_passage(
    wide: Collection, rankings: list[dict[str, list[str]]], hard: float
) -> None:
    for size in (1000, 1500, 2500):
        sample = sampled(wide, list(wide.queries), size, 0, rankings, hard=hard)
        judged = {p for query in sample.queries for p in wide.qrels[query]}
        part = hard / (1 + hard)
        assert len(sample.passages) <= max(size, len(judged) + part * size)
        assert len(sample.passages) - len(judged) >= part * size - max(JUDGED)
        assert len(sample.queries) >= ENOUGH


def test_queries_that_run_out_leave_a_small_sample(wide: Collection, rankings: list[dict[str, list[str]]]) -> None:
    """More passages for the same queries cost time and make no interval narrower (benchmarks/pools.py)."""
    asked = list(wide.queries)[:60]
    sample = sampled(wide, asked, 2500, 0, rankings)
    judged = {p for query in asked for p in wide.qrels[query]}
    assert len(sample.queries) == 60
    assert len(sample.passages) == int((1 + HARD) * len(judged)) < 1500
    assert len(sampled(wide, asked[:6], 2500, 0, rankings).passages) == FEWEST, "but enough to rank"


def test_the_rest_is_what_ranks_best(wide: Collection, rankings: list[dict[str, list[str]]]) -> None:
    """Rank by rank, a query and a ranking in turn: nobody's rank k is there before everybody's rank k - 1."""
    sample = sampled(wide, list(wide.queries)[:ENOUGH], 2500, 0, rankings, hard=2.5)
    assert len(sample.queries) == ENOUGH
    judged = {p for query in sample.queries for p in wide.qrels[query]}
    depths = []
    for ranked in rankings:
        for query in sample.queries:
            there = [p in sample.passages for p in ranked[query]]
            depths.append(there.index(False))
    ranked_best = {p for ranked in rankings for query in sample.queries for p in ranked[query][: min(depths)]}
    deeper = {p for ranked in rankings for query in sample.queries for p in ranked[query][: min(depths) + 1]}
    assert min(depths) > 3
    assert {*sample.passages} - judged >= ranked_best - judged
    assert {*sample.passages} <= judged | deeper
    blind = sampled(wide, list(wide.queries)[:ENOUGH], 2500, 0, hard=2.5)
    assert not {*blind.passages} - judged <= deeper, "the control: without rankings the rest is random"


def test_a_larger_sample_contains_the_smaller(wide: Collection, rankings: list[dict[str, list[str]]]) -> None:
    sizes = (60, 300, 700, 1000, 1001, 1600, 2400, 2999)
    samples = [sampled(wide, list(wide.queries), size, 5, rankings) for size in sizes]
    for small, large in pairwise(samples):
        assert {*small.queries} <= {*large.queries}
        assert {*small.passages} <= {*large.passages}
    assert len(samples[0].queries) < len(samples[-1].queries)


def test_the_seed_decides(wide: Collection, rankings: list[dict[str, list[str]]]) -> None:
    one, same, other = (sampled(wide, list(wide.queries), 1000, seed, rankings) for seed in (0, 0, 1))
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_a_query_with_more_judged_passages_than_the_sample_is_kept_whole() -> None:
    passages = [Passage(f"p{i}", f"text {i}") for i in range(10)]
    wide = make_collection("c", passages, [Query("q", "?")], [Judgment("q", f"p{i}") for i in range(6)])
    sample = sampled(wide, ["q"], 4, 0, [{"q": ["p9", "p0", "p7", "p8"]}])
    assert list(sample.passages) == [*(f"p{i}" for i in range(6)), "p9"], "and a third of the size competes"
