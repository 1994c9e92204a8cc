"""Near duplicates are found by their rule, all of them and no others."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.training.overlap import NEAR, _words, overlap_with
from retroscope.training.pairs import Pairs, training_pairs

WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8).map(" ".join)


def asked(*texts: str, passage: str = "elsewhere") -> Collection:
    queries = [Query(f"q{i}", text) for i, text in enumerate(texts)]
    return make_collection("test", [Passage("p", passage)], queries, [Judgment(q.id, "p") for q in queries])


@given(
    st.lists(WORDS, min_size=1, max_size=8, unique=True),
    st.lists(WORDS, min_size=1, max_size=8, unique=True),
    st.sampled_from([0.3, 0.5, 0.8, 1.0]),
)
def test_the_index_finds_what_comparing_all_pairs_finds(trained: list[str], held: list[str], threshold: float) -> None:
    training_overlap = overlap_with(Pairs(tuple(trained), tuple(trained)), asked(*held), threshold)
    jaccard = {
        (one, two): len(_words(one) & _words(two)) / len(_words(one) | _words(two))
        for one, two in product(held, trained)
    }
    assert training_overlap.near_duplicates == sum(
        any(jaccard[one, two] >= threshold for two in trained) for one in held
    )
    for example in training_overlap.examples:
        assert example.jaccard == max(jaccard[example.text, two] for two in trained)


def test_near_duplicates_and_shared_passages_are_told_apart() -> None:
    trained = Pairs(("Who built the old bridge of the town in 1910?",), ("A bridge.",))
    held = asked("who built the old bridge of the town in 1911", "a quite different question", passage="A bridge.")
    training_overlap = overlap_with(trained, held)
    assert (training_overlap.n_queries, training_overlap.near_duplicates, training_overlap.shared_passages) == (2, 1, 2)
    assert training_overlap.examples[0].query_id == "q0"
    assert NEAR <= training_overlap.examples[0].jaccard < 1
    assert overlap_with(trained, asked("who built the bridge", passage="Another.")).near_duplicates == 0
    assert overlap_with(trained, asked("who built the bridge", passage="Another.")).shared_passages == 0


def test_a_text_without_words_is_near_nothing() -> None:
    assert overlap_with(Pairs(("?!",), ("x",)), asked("!")).near_duplicates == 0


def test_shared_answers_are_counted_where_both_sides_give_them() -> None:
    def answered(*answers: tuple[str, ...]) -> Collection:
        queries = [Query(f"q{i}", f"question {i} about {a}", a) for i, a in enumerate(answers)]
        return make_collection("x", [Passage("p", "text")], queries, [Judgment(q.id, "p") for q in queries])

    trained = training_pairs(answered(("The Nile",), ("Paris", "Rome")))
    assert overlap_with(trained, answered(("the nile",), ("Oslo",), ("rome",))).shared_answers == 2
    assert overlap_with(trained, asked("who")).shared_answers is None
    assert overlap_with(training_pairs(asked("who")), answered(("Rome",))).shared_answers is None


def test_words_without_spaces_are_compared_one_by_one() -> None:
    trained = Pairs(("东京塔是哪一年建成的？",), ("x",))
    assert overlap_with(trained, asked("东京塔是哪一年建成？")).near_duplicates == 1
    assert overlap_with(trained, asked("大阪城的高度有多少米？")).near_duplicates == 0


def test_spelling_hides_no_overlap() -> None:
    trained = Pairs(("who runs the café of the old town today",), ("The Café.",))
    held = asked("who runs the cafe\u0301 of the old town today?", passage="the  cafe\u0301.")
    found = overlap_with(trained, held)
    assert (found.near_duplicates, found.shared_passages) == (1, 1)


def test_answers_of_queries_that_are_not_trained_do_not_count() -> None:
    queries = [Query("a", "one", ("Oslo",)), Query("b", "two", ("Rome",))]
    given = [Candidates("a", "x", ("y",))]
    collection = make_collection(
        "c", [Passage(i, f"text {i}") for i in "xy"], queries, [Judgment("a", "x"), Judgment("b", "y")], given
    )
    assert training_pairs(collection).answers == {" oslo ", " rome "}
    assert training_pairs(collection, 1, "given").answers == {" oslo "}
