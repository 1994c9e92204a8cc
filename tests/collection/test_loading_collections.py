import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.loading import drawn_queries, load_collection, split_prefix
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.errors import CollectionError, SettingsError

ROWS = [
    {"query": "who", "positive": "him", "negative": "her"},
    {"query": "what", "positive": "it", "negative": "that"},
    {"query": "when", "positive": "now", "negative": "then"},
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "train.v1.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in ROWS))
    return path


def test_a_prefix_a_string_and_a_path_read_the_same(path):
    read = [load_collection(spec) for spec in (f"st:{path}", str(path), path)]
    assert len({c.fingerprint for c in read}) == 1
    assert {c.name for c in read} == {"train"}
    assert {c.source for c in read} == {str(path)}


def test_what_is_given_wins(path):
    c = load_collection(path, name="mine", title_separator=" [SEP] ", ignore_identical_ids=True)
    assert (c.name, c.title_separator, c.ignore_identical_ids) == ("mine", " [SEP] ", True)


def test_limit_draws_judged_queries_and_keeps_the_whole_corpus(path):
    whole, two = load_collection(path), load_collection(path, limit_queries=2)
    assert len(two.queries) == 2
    assert two.passages == whole.passages
    assert {j.query_id for j in two.judgments} == {c.query_id for c in two.candidates} == {*two.judged_queries}
    assert [i for i in whole.judged_queries if i in two.queries] == list(two.judged_queries), "in their order"
    assert two.notes == ("2 of 3 judged queries kept, drawn at random (seed 0)",)
    assert two.fingerprint != whole.fingerprint
    assert load_collection(path, limit_queries=99).fingerprint == whole.fingerprint
    with pytest.raises(
        SettingsError, match=r"limit_queries must be at least 1, got 0\n  fix: .*leave out limit_queries"
    ):
        load_collection(path, limit_queries=0)


def numbered(n: int) -> Collection:
    """Queries q0, q1 ... each with a passage of its own."""
    passages = [Passage(f"p{i}", f"text {i}") for i in range(n)]
    queries = [Query(f"q{i}", f"who {i}") for i in range(n)]
    return make_collection("x", passages, queries, [Judgment(f"q{i}", f"p{i}", 1) for i in range(n)])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5))
def test_a_larger_draw_contains_a_smaller_one(one: int, two: int, seed: int) -> None:
    few, more = (set(drawn_queries(numbered(40), n, seed).queries) for n in sorted((one, two)))
    assert few <= more
    assert len(more) == max(one, two)


def test_queries_are_drawn_from_the_whole_length_by_the_seed() -> None:
    places = [[int(i[1:]) for i in drawn_queries(numbered(400), 60, seed).queries] for seed in (0, 1)]
    assert places[0] != places[1]
    assert all(120 < sum(one) / 60 < 280 for one in places)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("beir:data/nq", ("beir", Path("data/nq"))),
        ("ir_datasets:beir/nq/test", ("ir_datasets", Path("beir/nq/test"))),
        ("beir:C:/data/nq", ("beir", Path("C:/data/nq"))),
        ("data/nq", (None, Path("data/nq"))),
        ("C:/data/nq", (None, Path("C:/data/nq"))),
        (r"C:\data\nq", (None, Path(r"C:\data\nq"))),
        ("./odd:name", (None, Path("./odd:name"))),
        ("data/odd:name", (None, Path("data/odd:name"))),
        ("bier:data/nq", ("bier", Path("data/nq"))),
        (Path("beir:data"), (None, Path("beir:data"))),
    ],
)
def test_where_a_prefix_ends(spec, expected):
    assert split_prefix(spec) == expected


def test_a_name_with_a_colon_that_exists_is_a_path(path, monkeypatch):
    path.rename(path.with_name("odd:name.jsonl"))
    monkeypatch.chdir(path.parent)
    assert len(load_collection("odd:name.jsonl").queries) == 3


def test_a_home_folder_is_expanded(path, monkeypatch):
    monkeypatch.setenv("HOME", str(path.parent))
    assert len(load_collection("st:~/train.v1.jsonl").queries) == 3


def test_unknown_prefixes_and_paths_have_suggestions(path):
    with pytest.raises(SettingsError, match=r"unknown prefix 'bier'\n  fix: did you mean 'beir'"):
        load_collection("bier:data/nq")
    with pytest.raises(CollectionError, match=r"no such file or folder\n  fix: did you mean 'train\.v1\.jsonl'"):
        load_collection(f"st:{path.with_name('train.v2.jsonl')}")
    with pytest.raises(CollectionError, match="no such file or folder"):
        load_collection(path / "deeper" / "still")


def test_what_nobody_recognises_lists_what_was_tried(path, tmp_path):
    path.write_text('{"a": 1}\n')
    with pytest.raises(
        CollectionError,
        match=r"no format fits this path; tried: beir, trec, .*\n  fix: name the format, .*: --data st:",
    ):
        load_collection(path)
    with pytest.raises(CollectionError, match="no format fits"):
        load_collection(tmp_path)


def test_a_folder_that_lacks_a_part_is_told_which(tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "p", "text": "him"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "who"}\n')
    with pytest.raises(
        CollectionError, match=r"not a complete BEIR folder: it has no qrels/\n  fix: .*qrels/SPLIT\.tsv"
    ):
        load_collection(tmp_path)


def test_what_two_recognise_must_be_named(path):
    both = {"query": "who", "positive": "him", "pos": ["him"], "neg": []}
    path.write_text(json.dumps(both) + "\n")
    with pytest.raises(
        CollectionError,
        match=r"several formats fit this path: st, flag\n  fix: put the format before the path, e\.g\. st:",
    ):
        load_collection(path)
    assert load_collection(f"flag:{path}").mapping["format"] == "flag"


def test_a_damaged_file_says_so_when_it_is_looked_at(path):
    path.write_text('{"query": ')
    with pytest.raises(CollectionError, match=r"train\.v1\.jsonl, line 1: this JSON cannot be read"):
        load_collection(path)


def test_no_folder_is_made_in_the_home_of_who_does_not_use_ir_datasets(tmp_path: Path) -> None:
    code = "import bm25s, retroscope.collection.loading, retroscope.retrieval.retrieve, retroscope.study.run, sys"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('ir_datasets' in sys.modules)"],
        env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout.strip(), (tmp_path / ".ir_datasets").exists()) == ("False", False)
