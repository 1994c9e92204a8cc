"""Pairs: every relevant passage, hard negatives that are not relevant, and no query of a test."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.errors import TrainingError
from retroscope.training.pairs import check_held_out, training_pairs

PASSAGES = [
    Passage("a", "red wine", "Wine"),
    Passage("b", "white wine"),
    Passage("c", "red car"),
    Passage("d", "a cow"),
]


def judged(*judgments: tuple[str, str, int]) -> Collection:
    queries = [Query("q1", "which wine is red?"), Query("q2", "what is a cow?")]
    return make_collection("c", PASSAGES, queries, [Judgment(*j) for j in judgments])


def test_a_pair_for_every_relevant_passage_with_its_title() -> None:
    pairs = training_pairs(judged(("q1", "a", 1), ("q1", "b", 0), ("q2", "d", 2), ("q2", "a", 1)))
    assert pairs.columns == {
        "query": ["which wine is red?", "what is a cow?", "what is a cow?"],
        "positive": ["Wine red wine", "a cow", "Wine red wine"],
    }


def test_hard_negatives_share_words_and_are_not_relevant() -> None:
    pairs = training_pairs(judged(("q1", "a", 1)), 2)
    assert set(zip(*pairs.negatives, strict=True)) <= {("white wine", "red car"), ("red car", "white wine")}
    assert list(pairs.columns) == ["query", "positive", "negative_1", "negative_2"]
    assert pairs.notes == ()


def test_pairs_with_too_few_negatives_are_left_out_and_counted() -> None:
    pairs = training_pairs(judged(("q1", "a", 1), ("q2", "d", 1)), 2)
    assert len(pairs) == 1
    assert pairs.notes == ("1 of 2 pairs have fewer than 2 hard negatives and were left out",)
    with pytest.raises(TrainingError, match="no query has 4 hard negatives"):
        training_pairs(judged(("q1", "a", 1)), 4)


@pytest.mark.parametrize("text", ["which wine is red?", "Which  wine is RED?"])
def test_a_query_of_the_test_is_refused_whatever_its_id(text: str) -> None:
    test = make_collection("test", PASSAGES, [Query("other", text)], [Judgment("other", "a")])
    with pytest.raises(TrainingError, match=r"1 held-out queries are also in the training pairs:\n  - other"):
        check_held_out(training_pairs(judged(("q1", "a", 1))), [test])


def test_a_test_query_in_another_unicode_form_is_refused() -> None:
    passages, judgments = [Passage("p", "x")], [Judgment("q", "p")]
    composed, split = (
        make_collection("c", passages, [Query("q", t)], judgments) for t in ("the café", "the cafe\u0301")
    )
    with pytest.raises(TrainingError, match="1 held-out queries are also in the training pairs"):
        check_held_out(training_pairs(composed), [split])


def test_held_out_queries_may_share_passages(pairs_of: Callable[..., Collection]) -> None:
    train, test = pairs_of(8), pairs_of(8)
    asked = {key: replace(query, text=f"{query.text} then") for key, query in test.queries.items()}
    pairs, other = training_pairs(train), replace(test, queries=asked)
    assert set(pairs.positives) & {passage.text for passage in other.passages.values()}
    check_held_out(pairs, [other])
    with pytest.raises(TrainingError, match="held-out queries"):
        check_held_out(pairs, [test])
