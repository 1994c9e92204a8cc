import json
from pathlib import Path

import pytest

from retroscope.collection.loading import load_collection, split_prefix
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


def test_limit_keeps_the_first_judged_queries_and_the_whole_corpus(path):
    whole, two = load_collection(path), load_collection(path, limit_queries=2)
    assert [q.text for q in two.queries.values()] == ["who", "what"]
    assert two.passages == whole.passages
    assert {j.query_id for j in two.judgments} == {c.query_id for c in two.candidates} == {"q0", "q1"}
    assert two.judged_queries == ("q0", "q1")
    assert two.notes == ("the first 2 of 3 judged queries kept",)
    assert two.fingerprint != whole.fingerprint
    assert load_collection(path, limit_queries=99).fingerprint == whole.fingerprint
    with pytest.raises(SettingsError, match=r"limit_queries must be at least 1, got 0\n  fix: leave it out"):
        load_collection(path, limit_queries=0)


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
        CollectionError, match=r"no format fits; tried: beir, trec, .*\n  fix: say which it is, e\.g\. st:"
    ):
        load_collection(path)
    with pytest.raises(CollectionError, match="no format fits"):
        load_collection(tmp_path)


def test_what_two_recognise_must_be_named(path):
    both = {"query": "who", "positive": "him", "pos": ["him"], "neg": []}
    path.write_text(json.dumps(both) + "\n")
    with pytest.raises(CollectionError, match=r"several formats fit: st, flag\n  fix: say which, e\.g\. st:"):
        load_collection(path)
    assert load_collection(f"flag:{path}").mapping["format"] == "flag"


def test_a_damaged_file_says_so_when_it_is_looked_at(path):
    path.write_text('{"query": ')
    with pytest.raises(CollectionError, match=r"train\.v1\.jsonl, line 1: broken JSON"):
        load_collection(path)
