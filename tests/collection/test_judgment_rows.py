"""Judgments in rows with named columns: BEIR folders with qrels in JSON lines, as MTEB publishes them."""

from pathlib import Path

import pytest
from test_folders import TOY, assert_same, lines_of, put, write_beir

from retroscope.collection.loading import load_collection, splits_of
from retroscope.errors import CollectionError

NAMES = [("query-id", "corpus-id", "score"), ("query_id", "corpus_id", "label"), ("qid", "pid", "Relevance")]


def with_qrels(folder: Path, text: str, packed: bool = False) -> Path:
    """Write the toy collection with this text as its qrels/test.jsonl."""
    write_beir(folder, TOY)
    (folder / "qrels" / "test.tsv").unlink()
    put(folder / "qrels" / "test.jsonl", text, packed)
    return folder


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("names", NAMES, ids=lambda names: names[0])
def test_qrels_in_json_lines_are_read_back(names: tuple[str, ...], packed: bool, tmp_path: Path) -> None:
    values = [(j.query_id, j.passage_id, float(j.relevance)) for j in TOY[2]]
    text = lines_of(dict(zip(names, row, strict=True)) for row in values)
    collection = load_collection(with_qrels(tmp_path / "toy", text, packed))
    assert_same(collection, TOY)
    assert (collection.mapping["format"], collection.mapping["split"]) == ("beir", "test")
    assert [collection.mapping[word] for word in ("judged_query", "judged_passage", "grade")] == list(names)
    assert collection.notes == ("left out 1 query without a judgment in these qrels, e.g. of other splits",)


def test_splits_may_be_of_both_kinds_but_one_split_may_not(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "toy", TOY)
    put(folder / "qrels" / "dev.small.jsonl", lines_of([{"query-id": "q1", "corpus-id": "d2", "score": 1}]))
    assert splits_of(folder) == ("dev.small", "test")
    assert load_collection(folder, split="dev.small").qrels == {"q1": {"d2": 1}}
    put(folder / "qrels" / "test.jsonl", "{}\n")
    with pytest.raises(CollectionError, match=r"qrels: both test\.jsonl and test\.tsv are in this folder"):
        load_collection(folder)


def test_pairs_without_a_grade_are_relevant_and_a_note_says_so(tmp_path: Path) -> None:
    text = lines_of([{"query-id": "q1", "corpus-id": "d2"}, {"query-id": "q2", "corpus-id": "d2"}])
    collection = load_collection(with_qrels(tmp_path / "toy", text))
    assert collection.qrels == {"q1": {"d2": 1}, "q2": {"d2": 1}}
    assert "the qrels have no grades: each of their 2 pairs counts as relevant (grade 1)" in collection.notes


NEAR_MISSES = {
    '{"query-id": "q1", "corpus": "d2", "score": 1}': r"line 1: no column 'corpus-id' or .*; found: query-id, corpus",
    '{"query-id": "q1", "corpus-id": "d2", "stars": 1}': r"line 1: no column 'score' or 'relevance' or 'label'; found",
    '{"query-id": "q1", "corpus-id": "d2", "score": 1, "label": 0}': r"line 1: several columns could be the grade: sco",
    '{"query-id": "q1", "corpus-id": "d2", "score": 1}\n{"query-id": "q2", "corpus-id": "d2"}': r"line 2: no column",
    '{"query-id": "q1", "corpus-id": "d2"}\n{"query-id": "q2", "corpus-id": "d2", "score": 0}': r"line 2: this row has",
    '{"query-id": "q1", "corpus-id": "d2", "score": 0.5}': r"line 1: relevance must be a whole number",
    '{"query-id": "q1", "corpus-id": "", "score": 1}': r"line 1: this record has no id in 'corpus-id'",
    '{"q1": {"d2": 1}}': r"line 1: no column 'query-id' or 'query_id' or 'qid'; found: q1",
    "q1\td2\t1": r"line 1: this JSON cannot be read",
}


@pytest.mark.parametrize("text", NEAR_MISSES, ids=list(map(str, range(len(NEAR_MISSES)))))
def test_near_misses_are_refused_by_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=rf"qrels/test\.jsonl, {NEAR_MISSES[text]}(.|\n)*fix: "):
        load_collection(with_qrels(tmp_path / "toy", text + "\n"))
