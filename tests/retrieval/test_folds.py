"""Folds of queries: nothing that a fold is asked about was seen in another."""

from dataclasses import replace

import numpy as np
import pytest

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.errors import AnalysisError
from retroscope.retrieval.folds import linked_groups, query_folds, relevant


def collection(judged: list[tuple[int, int]], texts: dict[int, str] | None = None) -> Collection:
    queries = sorted({q for q, _ in judged})
    passages = [Passage(f"p{p}", f"passage number {p}") for p in sorted({p for _, p in judged})]
    asked = [Query(f"q{q}", (texts or {}).get(q, f"question {q}")) for q in queries]
    return make_collection("toy", passages, asked, [Judgment(f"q{q}", f"p{p}") for q, p in judged])


def shared_passages() -> Collection:
    """60 queries; each has a passage of its own and one that it shares with a neighbour."""
    return collection([pair for q in range(60) for pair in ((q, q), (q, 100 + q // 2))])


def test_no_two_folds_share_a_relevant_passage_and_all_are_used() -> None:
    shared = shared_passages()
    folds = query_folds(shared, 5, seed=0)
    of = dict(zip(shared.judged_queries, folds, strict=True))
    by_passage: dict[str, set[int]] = {}
    for query in shared.judged_queries:
        for passage in relevant(shared, query):
            by_passage.setdefault(passage, set()).add(of[query])
    assert all(len(where) == 1 for where in by_passage.values())
    assert np.bincount(folds).tolist() == [12] * 5


def test_a_split_by_query_alone_would_leak() -> None:
    """The control: without the joining, neighbours that share a passage do fall apart."""
    shared = shared_passages()
    by_query = np.random.default_rng(0).permutation(np.arange(60) % 5)
    of = dict(zip(shared.judged_queries, by_query, strict=True))
    assert sum(of[f"q{2 * i}"] != of[f"q{2 * i + 1}"] for i in range(30)) > 10


def test_repeated_texts_are_joined_and_passages_link_over_several_queries() -> None:
    chain = collection([(0, 0), (1, 0), (1, 1), (2, 1), (3, 3), (4, 4)], {3: "Who is it?", 4: " who  is IT? "})
    groups = linked_groups(chain)
    assert len({groups[0], groups[1], groups[2]}) == 1
    assert groups[3] == groups[4] != groups[0]


def test_copies_of_a_passage_under_other_ids_join_their_queries() -> None:
    """A head that was trained on the passage would be asked for its copy."""
    twins = [Passage("p0", "One text."), Passage("p1", "one  text."), Passage("p2", "Another text.")]
    asked = [Query(f"q{i}", f"question {i}") for i in range(3)]
    groups = linked_groups(make_collection("toy", twins, asked, [Judgment(f"q{i}", f"p{i}") for i in range(3)]))
    assert groups[0] == groups[1] != groups[2]


def test_the_seed_draws_the_folds() -> None:
    small = collection([(q, q) for q in range(50)])
    assert np.array_equal(query_folds(small, 5, seed=1), query_folds(small, 5, seed=1))
    assert not np.array_equal(query_folds(small, 5, seed=1), query_folds(small, 5, seed=2))


def test_queries_that_hang_together_cannot_be_divided() -> None:
    hub = collection([(q, 0) for q in range(30)] + [(q, q) for q in range(30, 40)])
    with pytest.raises(
        AnalysisError, match="40 judged queries cannot be divided into 5 folds: 30 of them are linked by equal texts"
    ):
        query_folds(hub, 5, seed=0)


def test_only_relevant_passages_join() -> None:
    judged = collection([(q, q) for q in range(20)])
    grades = (*judged.judgments, *(Judgment(f"q{q}", "p0", 0) for q in range(1, 20)))
    assert len(set(linked_groups(replace(judged, judgments=grades)).tolist())) == 20
