"""A sample of a collection keeps every relevant passage of the queries that it keeps."""

import pytest

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.study.sampled import sampled


@pytest.fixture(scope="module")
def collection() -> Collection:
    """40 queries with two relevant passages each, 120 passages."""
    queries = [Query(f"q{i}", f"question {i}") for i in range(40)]
    judgments = [Judgment(f"q{i}", f"p{j}") for i in range(40) for j in (2 * i, 2 * i + 1)]
    return make_collection("c", [Passage(f"p{i}", f"text {i}") for i in range(120)], queries, judgments)


@pytest.mark.parametrize("passages", [0, 120, 500])
def test_a_corpus_that_is_small_enough_stays_whole(collection: Collection, passages: int) -> None:
    found = sampled(collection, ["q1", "q3"], passages, seed=0)
    assert list(found.queries) == ["q1", "q3"]
    assert list(found.passages) == list(collection.passages)
    assert {j.query_id for j in found.judgments} == {"q1", "q3"}


def test_half_of_a_sample_is_relevant_to_its_queries(collection: Collection) -> None:
    found = sampled(collection, list(collection.queries), 40, seed=0)
    assert (len(found.queries), len(found.passages)) == (10, 40)
    assert found.qrels == {query: collection.qrels[query] for query in found.queries}
    relevant = {p for judged in found.qrels.values() for p in judged}
    assert len(relevant) == 20
    assert {*found.passages} > relevant
    order = list(collection.passages)
    assert list(found.passages) == sorted(found.passages, key=order.index)


def test_the_seed_decides(collection: Collection) -> None:
    one, same, other = (sampled(collection, list(collection.queries), 40, seed=seed) for seed in (0, 0, 1))
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_a_query_with_more_relevant_passages_than_half_is_kept_whole() -> None:
    passages = [Passage(f"p{i}", f"text {i}") for i in range(10)]
    wide = make_collection("c", passages, [Query("q", "?")], [Judgment("q", f"p{i}") for i in range(6)])
    found = sampled(wide, ["q"], 4, seed=0)
    assert list(found.passages) == [f"p{i}" for i in range(6)]
