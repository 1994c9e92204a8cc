import pytest

from retroscope.collection.collection import make_collection
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.errors import CollectionError

PASSAGES = [Passage("p1", "one", "Title"), Passage("p2", "two"), Passage("p3", "three")]
QUERIES = [Query("q1", "first?"), Query("q2", "second?")]
JUDGMENTS = [Judgment("q1", "p1"), Judgment("q1", "p2", 0), Judgment("q2", "p3", 2)]
CANDIDATES = [Candidates("q1", "p1", ("p2", "p3"))]


def test_a_sound_collection_is_joined():
    c = make_collection("toy", iter(PASSAGES), iter(QUERIES), iter(JUDGMENTS), iter(CANDIDATES), source="here")
    assert c.passage_text("p1") == "Title one"
    assert c.passage_text("p2") == "two"
    assert c.qrels == {"q1": {"p1": 1, "p2": 0}, "q2": {"p3": 2}}
    assert c.judged_queries == ("q1", "q2")
    assert c.candidates == tuple(CANDIDATES)
    assert str(c) == "toy: 2 queries, 3 passages, 3 judgments"
    assert repr(c) == f"<Collection {c}>"
    assert "first?" not in repr(c)


def test_the_fingerprint_changes_with_every_part():
    def fingerprint_of(p=PASSAGES, q=QUERIES, j=JUDGMENTS, c=CANDIDATES, **settings):
        return make_collection("toy", p, q, j, c, **settings).fingerprint

    variants = [
        fingerprint_of(),
        fingerprint_of(p=[*PASSAGES, Passage("p4", "four")]),
        fingerprint_of(q=[Query("q1", "first"), QUERIES[1]]),
        fingerprint_of(j=JUDGMENTS[:2]),
        fingerprint_of(c=[]),
        fingerprint_of(title_separator=" [SEP] "),
        fingerprint_of(ignore_identical_ids=True),
    ]
    assert len(set(variants)) == len(variants)
    assert fingerprint_of() == variants[0]


DEFECTS = {
    "repeated passages": (
        {"passages": [*PASSAGES, Passage("p2", "other")]},
        r"passage ids occur more than once(.|\n)*'p2'",
    ),
    "empty passages that are judged": (
        {
            "passages": [*PASSAGES, Passage("e1", " "), Passage("e2", ""), Passage("e3", "")],
            "judgments": [*JUDGMENTS, Judgment("q1", "e1"), Judgment("q2", "e2", 0)],
        },
        r"without title or text:\n  - 'e1'\n  - 'e2'\n  fix: remove",
    ),
    "empty passage among the negatives": (
        {"passages": [*PASSAGES, Passage("e1", "")], "candidates": [Candidates("q1", "p1", ("p2", "e1"))]},
        r"without title or text:\n  - 'e1'\n",
    ),
    "empty passage with the id of another": (
        {"passages": [*PASSAGES, Passage("p2", ""), Passage("e1", ""), Passage("e1", " ")]},
        r"passage ids occur more than once:\n  - 'p2'\n  - 'e1'\n",
    ),
    "only empty passages": (
        {"passages": [Passage("p1", "")], "judgments": [], "candidates": []},
        "no query has a relevant passage",
    ),
    "nameless passage": (
        {"passages": [*PASSAGES, Passage("", "text")]},
        r"passages without an id(.|\n)*passage 4: 'text'",
    ),
    "no passages": ({"passages": []}, "there are no passages"),
    "repeated queries": ({"queries": [*QUERIES, QUERIES[0]]}, r"query ids occur more than once(.|\n)*'q1'"),
    "empty query": ({"queries": [*QUERIES, Query("q9", "  ")]}, r"queries without text(.|\n)*'q9'"),
    "nameless query": ({"queries": [*QUERIES, Query("", "text")]}, r"queries without an id(.|\n)*'text'"),
    "half character": ({"queries": [*QUERIES, Query("q9", "\ud83d")]}, r"lone UTF-16 surrogate(.|\n)*'q9'"),
    "lost queries": (
        {"judgments": [*JUDGMENTS, Judgment("q8", "p1"), Judgment("q9", "p1")]},
        r"judgments of queries that do not exist(.|\n)*'q8'(.|\n)*'q9'",
    ),
    "lost passages": (
        {"judgments": [*JUDGMENTS, Judgment("q1", "p9")]},
        r"judgments of passages that do not exist(.|\n)*'p9'(.|\n)*fix: add the passages",
    ),
    "repeated judgment": (
        {"judgments": [*JUDGMENTS, JUDGMENTS[0]]},
        r"judgments are repeated(.|\n)*'q1', passage 'p1'",
    ),
    "contradiction": (
        {"judgments": [*JUDGMENTS, Judgment("q1", "p1", 2)]},
        r"contradict one another(.|\n)*query 'q1', passage 'p1', graded 1 and 2",
    ),
    "nothing relevant": ({"judgments": [Judgment("q1", "p1", 0)], "candidates": []}, "no query has a relevant passage"),
    "lost candidates": (
        {"candidates": [Candidates("q1", "p1", ("p8",))]},
        r"probe examples .* name passages that do not(.|\n)*'p8'",
    ),
    "irrelevant positive": (
        {"candidates": [Candidates("q1", "p2", ("p3",))]},
        r"not judged relevant(.|\n)*'q1', positive 'p2'",
    ),
    "lost candidate query": ({"candidates": [Candidates("q7", "p1", ("p3",))]}, r"not judged relevant(.|\n)*'q7'"),
    "own negative": ({"candidates": [Candidates("q1", "p1", ("p3", "p1"))]}, "positive is also one of their negatives"),
    "repeated negative": ({"candidates": [Candidates("q1", "p1", ("p3", "p3"))]}, "list a negative twice"),
    "two candidates": (
        {"candidates": CANDIDATES * 2},
        r"several probe examples .* for one query and positive(.|\n)*: 2",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_every_defect_is_named_with_its_place(defect):
    change, message = DEFECTS[defect]
    parts = {"passages": PASSAGES, "queries": QUERIES, "judgments": JUDGMENTS, "candidates": CANDIDATES} | change
    with pytest.raises(CollectionError, match=rf"^here: (.|\n)*{message}"):
        make_collection("toy", *parts.values(), source="here")


def test_unjudged_passages_without_title_and_text_are_left_out_and_counted():
    plain = make_collection("toy", PASSAGES, QUERIES, JUDGMENTS, CANDIDATES)
    empty = [Passage("e1", ""), *PASSAGES, Passage("e2", " ", "\t"), Passage("e3", "", "A title")]
    c = make_collection("toy", empty, QUERIES, JUDGMENTS, CANDIDATES, notes=("read twice",))
    note = "2 passages have neither title nor text; no judgment names them, so they are left out"
    assert list(c.passages) == ["p1", "p2", "p3", "e3"]
    assert c.notes == ("read twice", note)
    assert "e1" not in c.passages
    assert (c.judgments, c.candidates, plain.notes) == (plain.judgments, plain.candidates, ())


def test_all_problems_of_a_kind_come_together_and_long_lists_are_counted():
    many = [Judgment("q1", f"lost{k}") for k in range(25)]
    with pytest.raises(CollectionError, match=r"'lost0'(.|\n)*'lost9'(.|\n)*and 15 more"):
        make_collection("toy", PASSAGES, QUERIES, [*JUDGMENTS, *many])


def test_case_and_spaces_make_no_other_query_text() -> None:
    passages = [Passage("p", "a passage")]
    queries = [Query("a", "Who was she?"), Query("b", "who  was she?"), Query("c", "Who was he?")]
    small = make_collection("alike", passages, queries, [Judgment(q.id, "p") for q in queries])
    assert small.query_texts["a"] == small.query_texts["b"] != small.query_texts["c"]


@pytest.mark.parametrize("text", ["Le  CAFÉ", "le cafe\u0301", "ｌｅ café", " le\u00a0café "])
def test_queries_that_differ_in_spelling_only_have_one_text(text: str) -> None:
    c = make_collection(
        "x", [Passage("p", "t")], [Query("a", "le café"), Query("b", text), Query("c", "le cafe")], [Judgment("a", "p")]
    )
    assert c.query_texts["a"] == c.query_texts["b"] != c.query_texts["c"]
