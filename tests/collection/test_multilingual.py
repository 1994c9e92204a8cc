"""MIRACL and Mr. TyDi in the folders and files in which they are published."""

import gzip
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from test_folders import lines_of

from retroscope.collection.loading import load_collection, splits_of
from retroscope.collection.readers.registry import READERS
from retroscope.collection.records import Candidates, Judgment
from retroscope.errors import CollectionError, SettingsError

DOCS = [
    {"docid": "7#0", "title": "Aspirini", "text": "Aspirini hupunguza homa."},
    {"docid": "7#1", "title": "Aspirini", "text": "Ni dawa."},
    {"docid": "9#0", "title": "Chai", "text": 'Chai ni "kinywaji".'},
]
TOPICS = "1#0\tnini hupunguza homa?\n2#0\tchai ni nini?\n"
QRELS = "1#0\tQ0\t7#0\t1\n1#0\tQ0\t9#0\t0\n2#0\tQ0\t9#0\t1\n"


def pack(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(lines_of(rows).encode()))
    return path


def write_miracl(folder: Path, corpus: Path) -> Path:
    """Write a language: topics and qrels of dev, topics of test-b without qrels, and a corpus in two files."""
    for role, split, text in (("topics", "dev", TOPICS), ("qrels", "dev", QRELS), ("topics", "test-b", "9#0\tx\n")):
        file = folder / role / f"{role}.miracl-v1.0-sw-{split}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    pack(corpus / "docs-0.jsonl.gz", DOCS[:2])
    pack(corpus / "docs-1.jsonl.gz", DOCS[2:])
    return folder


CORPORA = ["miracl/miracl-v1.0-sw", "miracl/miracl-v1.0-sw/miracl-corpus-v1.0-sw", "miracl/miracl-corpus-v1.0-sw",
           "miracl-corpus/miracl-corpus-v1.0-sw"]  # fmt: skip


@pytest.mark.parametrize("corpus", CORPORA)
def test_miracl_is_read_back(corpus: str, tmp_path: Path) -> None:
    folder = write_miracl(tmp_path / "miracl" / "miracl-v1.0-sw", tmp_path / corpus)
    assert [name for name, reader in READERS.items() if reader.recognises(folder)] == ["miracl"]
    read = load_collection(folder)
    assert [{"docid": p.id, "title": p.title, "text": p.text} for p in read.passages.values()] == DOCS
    assert {q.id: q.text for q in read.queries.values()} == dict(line.split("\t") for line in TOPICS.splitlines())
    assert list(read.judgments) == [Judgment("1#0", "7#0"), Judgment("1#0", "9#0", 0), Judgment("2#0", "9#0")]
    assert (read.name, read.mapping["split"], splits_of(folder)) == ("miracl-v1.0-sw", "dev", ("dev",))
    with pytest.raises(SettingsError, match=r"unknown split 'test-b'(.|\n)*dev"):
        load_collection(folder, split="test-b")


def test_an_incomplete_or_doubled_miracl_says_what_is_missing(tmp_path: Path) -> None:
    folder, corpus = tmp_path / "miracl" / "miracl-v1.0-sw", tmp_path / "miracl" / "miracl-corpus-v1.0-sw"
    write_miracl(folder, corpus)
    with pytest.raises(CollectionError, match=rf"lies inside this folder(.|\n)*give the folder {folder}$"):
        load_collection(folder.parent)
    with pytest.raises(CollectionError, match=r"fix: give the folder miracl-v1\.0-LANG of one language"):
        load_collection(f"miracl:{folder.parent}")
    (corpus / "docs-0.jsonl.gz").rename(corpus / "docs-2.jsonl.gz")
    with pytest.raises(CollectionError, match=r"from 0 without a gap; found: docs-1\.jsonl\.gz, docs-2\.jsonl\.gz"):
        load_collection(folder)
    pack(folder / "docs-0.jsonl.gz", DOCS)
    with pytest.raises(CollectionError, match=rf"exactly one folder must have the corpus .* found: {folder}, {corpus}"):
        load_collection(folder)
    for place in (folder, corpus):
        for file in place.glob("docs-*"):
            file.unlink()
    with pytest.raises(
        CollectionError, match=r"of 'sw'; found: none\n  fix: copy the folder miracl-corpus-v1\.0-sw of"
    ):
        load_collection(folder)


def test_broken_lines_of_miracl_are_named(tmp_path: Path) -> None:
    folder = write_miracl(tmp_path, tmp_path)
    topics = folder / "topics" / "topics.miracl-v1.0-sw-dev.tsv"
    topics.write_text("1#0 nini?\n")
    with pytest.raises(CollectionError, match=r"topics\.miracl-v1\.0-sw-dev\.tsv, line 1: this line has 0 tabs"):
        load_collection(folder)
    topics.unlink()
    with pytest.raises(CollectionError, match=r"qrels of the split 'dev', but no topics\n.*topics are: test-b"):
        load_collection(folder)
    (folder / "qrels" / "qrels.miracl-v1.0-de-dev.tsv").write_text(QRELS)
    with pytest.raises(CollectionError, match=r"qrels\.miracl-v1\.0-de-dev\.tsv and .*-sw-dev\.tsv are both qrels of"):
        load_collection(folder)


ROWS = [
    {"query_id": "1", "query": "nini?", "positive_passages": [DOCS[0]], "negative_passages": [DOCS[1]]},
    {"query_id": "2", "query": "chai?", "positive_passages": [DOCS[2]], "negative_passages": []},
]


def write_mr_tydi(folder: Path) -> Path:
    pack(folder / "train.jsonl.gz", ROWS[:1])
    pack(folder / "test.jsonl.gz", ROWS[1:])
    pack(folder / "corpus.jsonl.gz", DOCS)
    return folder


def test_mr_tydi_is_read_back(tmp_path: Path) -> None:
    folder = write_mr_tydi(tmp_path / "mrtydi-v1.1-swahili")
    assert [name for name, reader in READERS.items() if reader.recognises(folder)] == ["mrtydi"]
    read = load_collection(folder)
    assert [{"docid": p.id, "title": p.title, "text": p.text} for p in read.passages.values()] == DOCS
    assert ([(q.id, q.text) for q in read.queries.values()], read.judgments) == (
        [("2", "chai?")],
        (Judgment("2", "9#0"),),
    )
    assert (read.name, read.mapping["split"], read.mapping["format"]) == ("mrtydi-v1.1-swahili", "test", "mrtydi")
    train = load_collection(folder, split="train")
    assert (train.candidates, len(train.passages)) == ((Candidates("1", "7#0", ("7#1",)),), 3)


def test_mr_tydi_without_its_corpus_or_with_two_is_refused(tmp_path: Path) -> None:
    folder = write_mr_tydi(tmp_path)
    pack(folder / "corpus.jsonl", [])
    with pytest.raises(CollectionError, match=r"both corpus\.jsonl and corpus\.jsonl\.gz are in this folder"):
        load_collection(folder)
    (folder / "corpus.jsonl").unlink()
    pack(folder / "corpus.jsonl.gz", DOCS[:2])
    with pytest.raises(CollectionError, match=r"judgments of passages that do not exist:\n  - '9#0'"):
        load_collection(folder)
    (folder / "corpus.jsonl.gz").unlink()
    with pytest.raises(
        CollectionError, match=rf"has no corpus\.jsonl or corpus\.jsonl\.gz\n.*give a file: tevatron:{folder}/test\.jso"
    ):
        load_collection(folder)
    assert len(load_collection(folder / "test.jsonl.gz").passages) == 1
