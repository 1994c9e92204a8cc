"""Similarities of relevant and other passages: counted right, of a stated sample, and a planted signal is seen."""

import numpy as np
import pytest

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.representations.vectors import RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.separation import BINS, pair_sample, separation_by_layer

N = 40


@pytest.fixture(scope="module")
def pairs() -> Collection:
    passages = [Passage(f"p{i}", f"text number {i}") for i in range(N)]
    queries = [Query(f"q{i}", f"question {i}") for i in range(N)]
    return make_collection("pairs", passages, queries, [Judgment(f"q{i}", f"p{i}") for i in range(N)])


def vectors(
    collection: Collection, share: float, similarity: str = "cosine", seed: int = 0
) -> RetrieverRepresentations:
    """Two layers of noise; in the second, a query has a share of its passage."""
    rng = np.random.default_rng(seed)
    passage, noise = rng.standard_normal((2, N, 2, 24)).astype(np.float32)
    query = np.stack([noise[:, 0], share * passage[:, 1] + (1 - share) * noise[:, 1]], axis=1)
    sides = [representations_in_memory(list(ids), one) for ids, one in
             ((collection.queries, query), (collection.passages, passage))]  # fmt: skip
    return RetrieverRepresentations("toy", *sides, similarity, {})


def test_a_planted_relation_is_seen_at_its_layer_and_nowhere_else(pairs: Collection) -> None:
    found = separation_by_layer({"before": vectors(pairs, 0.0), "after": vectors(pairs, 0.8)}, pairs)
    above = found.above.set_index(["side", "layer"])["above"]
    assert above["after", 1] > 0.99
    for side, layer in (("before", 0), ("before", 1), ("after", 0)):
        assert abs(above[side, layer] - 0.5) < 0.15, "the control: noise is above half"


def test_counts_are_those_of_every_pair(pairs: Collection) -> None:
    sides = {"before": vectors(pairs, 0.0), "after": vectors(pairs, 0.8)}
    found = separation_by_layer(sides, pairs)
    totals = found.counts.groupby(["side", "layer", "passages"])["count"].sum()
    assert set(totals.xs("relevant", level="passages")) == {N}
    assert set(totals.xs("other", level="passages")) == {N * (N - 1)}
    one = found.counts[(found.counts["side"] == "after") & (found.counts["layer"] == 1)]
    query, passage = (t.layer(1) / np.linalg.norm(t.layer(1), axis=1, keepdims=True)
                      for t in (sides["after"].query, sides["after"].passage))  # fmt: skip
    true = np.sum(query * passage, axis=1)
    mine = one[one["passages"] == "relevant"]
    expected = [int(((true >= low) & (true < high)).sum()) for low, high in zip(mine["low"], mine["high"], strict=True)]
    assert np.abs(np.array(expected) - mine["count"]).sum() <= 2, "but for rounding at the edges"
    assert len(mine) == BINS


def test_bins_are_shared_by_cosine_and_own_by_dot(pairs: Collection) -> None:
    def ends(similarity: str) -> list[tuple[float, float]]:
        sides = {"before": vectors(pairs, 0.0, similarity), "after": vectors(pairs, 0.8, similarity, seed=1)}
        counts = separation_by_layer(sides, pairs).counts
        by_side = counts[counts["layer"] == 1].groupby("side")
        return list(zip(by_side["low"].min(), by_side["high"].max(), strict=True))

    assert len(set(ends("cosine"))) == 1
    assert len(set(ends("dot"))) == 2


def test_a_passage_that_is_the_query_does_not_count() -> None:
    passages, queries = (
        [Passage(f"d{i}", f"text {i}") for i in range(N)],
        [Query(f"d{i}", f"text {i}") for i in range(N)],
    )
    own = make_collection("own", passages, queries, [Judgment(f"d{i}", f"d{(i + 1) % N}") for i in range(N)])
    from dataclasses import replace

    own = replace(own, ignore_identical_ids=True)
    counts = separation_by_layer({"after": vectors(own, 0.5)}, own).counts
    assert set(counts.groupby(["layer", "passages"])["count"].sum().xs("other", level="passages")) == {N * (N - 2)}


def test_the_sample_is_seeded_and_a_smaller_one_begins_alike(pairs: Collection) -> None:
    whole, again, small = (pair_sample(pairs, 0, most) for most in (1000, 1000, 20))
    assert whole == again
    assert small.queries == whole.queries[: len(small.queries)]
    assert len(small.queries) + len(small.passages) <= 20
    assert pair_sample(pairs, 1, 1000).queries != whole.queries
