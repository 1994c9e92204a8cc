"""Passages that hold an answer, or are relevant to the same question asked twice, are no negatives."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retroscope.collection.answers import answer_strings, token_string
from retroscope.collection.collection import make_collection
from retroscope.collection.loading import load_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.collection.screen import LeftOut


def holds(text, *answers):
    return any(string in token_string(text) for string in answer_strings(answers))


@pytest.mark.parametrize(
    ("text", "answer", "held"),
    [
        ("Wilhelm Conrad RÖNTGEN won it.", "Wilhelm Conrad Röntgen", True),
        ("Wilhelm  Conrad\nRo\u0308ntgen", "wilhelm conrad röntgen", True),  # composed and decomposed alike
        ("Rontgen", "Röntgen", False),  # an accent is a letter's own
        ("It has 2911 episodes", "291", False),  # whole tokens
        ("It has 291 episodes", "291 episodes", True),
        ("291 long episodes", "291 episodes", False),  # one after another
        ("Super Bowl LII was", "Super Bowl LII,", False),  # punctuation is a token, as in DPR
        ("Super Bowl LII , in 2018", "Super Bowl LII,", True),
        ("in the U.S. alone", "u.s.", True),
        ("nothing", "", False),
        ("nothing at all", " \u200b", False),
    ],
)
def test_an_answer_is_held_as_dpr_decides(text, answer, held):
    assert holds(text, answer) is held


def tokens_by_hand(text):
    """DPR's SimpleTokenizer, character by character: [L N M]+, or one character that is not Z or C."""
    rows, word = [], ""
    for c in unicodedata.normalize("NFD", text).lower():
        kind = unicodedata.category(c)[0]
        if kind in "LNM":
            word += c
            continue
        rows += [word] if word else []
        word = ""
        rows += [c] if kind not in "ZC" else []
    return rows + ([word] if word else [])


@given(st.text())
def test_tokens_are_those_of_an_independent_tokeniser(text):
    assert token_string(text).split(" ") == ["", *tokens_by_hand(text), ""] or not tokens_by_hand(text)


def toy(answers=(), given=False):
    passages = [Passage("gold", "the moon orbits the earth"), Passage("a", "the moon is a rock"),
                Passage("b", "the moon is far, Armstrong saw"), Passage("c", "the moon and a river"),
                Passage("twice", "the moon again")]  # fmt: skip
    queries = [Query("q", "who walked on the moon", answers), Query("r", "who walked on the moon")]
    judgments = [Judgment("q", "gold"), Judgment("r", "twice")]
    candidates = [Candidates("q", "gold", ("b", "a"))] if given else []
    return make_collection("toy", passages, queries, judgments, candidates)


def test_passages_that_hold_an_answer_are_no_negatives_and_are_counted():
    plain, screened = hard_negatives(toy(), 4), hard_negatives(toy(("neil armstrong", "Armstrong")), 4)
    assert "b" in plain.candidates[0].negatives
    assert {*screened.candidates[0].negatives} == {"a", "c"}
    assert {*screened.candidates[1].negatives} == {"a", "b", "c"}  # the other query gives no answer
    assert (plain.left_out.with_answer, plain.left_out.answered) == (0, 0)
    assert (screened.left_out.with_answer, screened.left_out.answered) == (1, 1)


def test_what_is_relevant_to_the_same_text_is_no_negative():
    mined = hard_negatives(toy(), 4)
    assert "twice" not in mined.candidates[0].negatives
    assert "gold" not in mined.candidates[1].negatives
    assert mined.left_out == LeftOut(with_answer=0, of_same_text=2, answered=0)


def test_the_sources_own_negatives_are_kept():
    mined = hard_negatives(toy(("Armstrong",), given=True), 4, how="given")
    assert mined.candidates[0].negatives == ("b", "a")
    assert mined.left_out == LeftOut()


def test_a_list_is_as_long_as_without_answers():
    passages = [Passage("gold", "moon gold"), *(Passage(f"p{i}", f"moon {'cheese' * (i < 40)}") for i in range(80))]
    queries, judged = [Query("q", "moon", ("cheese",))], [Judgment("q", "gold")]
    mined = hard_negatives(make_collection("toy", passages, queries, judged), 30, pool=30)
    assert len(mined.candidates[0].negatives) == 30
    assert mined.short == 0


def test_answers_are_part_of_what_a_collection_is():
    assert toy(("Armstrong",)).fingerprint != toy().fingerprint


DPR_ROW = {
    "question": "who walked on the moon",
    "answers": ["Armstrong"],
    "positive_ctxs": [{"title": "", "text": "the moon orbits", "passage_id": "p"}],
}
TEVATRON_ROW = {
    "query_id": "q",
    "query": "who walked on the moon",
    "answers": ["Armstrong", "Armstrong"],
    "positive_passages": [{"docid": "p", "title": "", "text": "the moon orbits"}],
}


@pytest.mark.parametrize("row", [DPR_ROW, TEVATRON_ROW])
def test_readers_keep_the_answers_and_join_those_of_repeated_questions(row, tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in (row, {**row, "answers": ["Aldrin"]})))
    (query,) = load_collection(str(path)).queries.values()
    assert query.answers == ("Armstrong", "Aldrin")


def test_beir_folders_keep_the_answers(tmp_path):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tp\t1\n")
    (tmp_path / "corpus.jsonl").write_text('{"_id": "p", "text": "the moon orbits"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "who", "answers": ["Armstrong", "Aldrin"]}\n')
    loaded = load_collection(f"beir:{tmp_path}")
    assert loaded.queries["q"].answers == ("Armstrong", "Aldrin")
    assert loaded.mapping["answers"] == "answers"
