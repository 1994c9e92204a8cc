"""The files of MS MARCO and of the TREC Deep Learning track, under the names of their publishers."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from retroscope.collection.loading import load_collection
from retroscope.collection.readers.registry import READERS
from retroscope.collection.records import Passage
from retroscope.errors import CollectionError

PASSAGES = "1\tAspirin lowers fever.\n2\tTea is a drink.\n"
DOCUMENTS = (
    'D1\thttps://a.org/aspirin?x=1\tAspirin\tAspirin "lowers fever.\n'
    "D2\thttp://b.org/\t\tTea is a drink.\n"
    "D3\thttps://c.org/\tEmpty page\t\n"
)
PASSAGE_FILES = {
    "collection.tsv": PASSAGES,
    "collection.tar.gz": "not read",
    "queries.dev.tsv": "7\twhat lowers fever\n8\twhat is tea\n",
    "queries.dev.small.tsv": "7\twhat lowers fever\n",
    "queries.train.tsv": "9\tdrinks\n",
    "qrels.dev.tsv": "7\t0\t1\t1\n8\t0\t2\t1\n",
    "qrels.dev.small.tsv": "7\t0\t1\t1\n",
    "qrels.train.tsv": "9\t0\t2\t1\n",
    "msmarco-test2019-queries.tsv": "19\tfever of 2019\n",
    "msmarco-test2020-queries.tsv": "20\ttea of 2020\n",
    "2019qrels-pass.txt": "19 Q0 1 3\n19 Q0 2 0\n",
    "2020qrels-pass.txt": "20 0 2 2\n",
    "msmarco-passagetest2019-top1000.tsv": "19\t1\tfever of 2019\tAspirin lowers fever.\n",
}
DOCUMENT_FILES = {
    "msmarco-docs.tsv": DOCUMENTS,
    "msmarco-docs-lookup.tsv": "D1\t0\t0\n",
    "msmarco-docdev-queries.tsv": "7\twhat lowers fever\n",
    "msmarco-docdev-qrels.tsv": "7 0 D1 1\n",
    "msmarco-test2019-queries.tsv": "19\tfever of 2019\n",
    "2019qrels-docs.txt": "19 Q0 D1 3\n19 Q0 D2 0\n",
}


def save(folder: Path, files: Mapping[str, str], names: Iterable[str] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    for name in files if names is None else names:
        (folder / name).write_text(files[name], encoding="utf-8")
    return folder


def test_the_passage_files_of_the_track_are_read_back(tmp_path: Path) -> None:
    folder = save(
        tmp_path / "dl19", PASSAGE_FILES, ["collection.tsv", "msmarco-test2019-queries.tsv", "2019qrels-pass.txt"]
    )
    assert [name for name, reader in READERS.items() if reader.recognises(folder)] == ["trec"]
    read = load_collection(folder)
    assert read.qrels == {"19": {"1": 3, "2": 0}}
    assert [p.text for p in read.passages.values()] == ["Aspirin lowers fever.", "Tea is a drink."]
    assert [q.text for q in read.queries.values()] == ["fever of 2019"]
    assert read.mapping["split"] == "2019.pass"


@pytest.mark.parametrize(
    ("split", "qrels", "topics"),
    [
        ("2019.pass", {"19": {"1": 3, "2": 0}}, "msmarco-test2019-queries.tsv"),
        ("2020.pass", {"20": {"2": 2}}, "msmarco-test2020-queries.tsv"),
        ("dev", {"7": {"1": 1}, "8": {"2": 1}}, "queries.dev.tsv"),
        ("dev.small", {"7": {"1": 1}}, "queries.dev.small.tsv"),
        ("train", {"9": {"2": 1}}, "queries.train.tsv"),
    ],
)
def test_every_split_finds_its_topics(split: str, qrels: object, topics: str, tmp_path: Path) -> None:
    read = load_collection(save(tmp_path / "passages", PASSAGE_FILES), split=split)
    assert (read.qrels, read.mapping["topics"], read.mapping["corpus"]) == (qrels, topics, "collection.tsv")


@pytest.mark.parametrize(("split", "passage"), [("2019.docs", "D1"), ("msmarco.docdev", "D1")])
def test_documents_without_a_header_are_read_back(split: str, passage: str, tmp_path: Path) -> None:
    read = load_collection(save(tmp_path / "docs", DOCUMENT_FILES), split=split)
    assert list(read.passages.values()) == [
        Passage("D1", 'Aspirin "lowers fever.', "Aspirin"),
        Passage("D2", "Tea is a drink."),
        Passage("D3", "", "Empty page"),
    ]
    assert [*read.relevant.values()] == [(passage,)]


NEAR_MISSES = {
    "D1\tAspirin\tAspirin lowers fever.\n": r"line 1: this line has 2 tabs, expected 1\n.*or docid<TAB>url",
    "D1\tx\tAspirin\tAspirin lowers fever.\n": r"line 1: this line has 3 tabs, expected 1\n.*or docid<TAB>url",
    DOCUMENTS + "D4\thttps://d.org/\tone\n": r"line 4: this line has 2 tabs, but the first line has 3\n.*<TAB>title",
}


@pytest.mark.parametrize("text", NEAR_MISSES, ids=["title", "no address", "ragged"])
def test_documents_of_another_form_are_refused_by_line(text: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "docs", {**DOCUMENT_FILES, "msmarco-docs.tsv": text})
    with pytest.raises(CollectionError, match=rf"msmarco-docs\.tsv, {NEAR_MISSES[text]}"):
        load_collection(folder, split="2019.docs")


def test_passages_and_documents_in_one_folder_are_refused(tmp_path: Path) -> None:
    folder = save(save(tmp_path / "both", PASSAGE_FILES), DOCUMENT_FILES)
    with pytest.raises(
        CollectionError, match=r"0 of the corpus files collection\.tsv, msmarco-docs\.tsv are named after the split"
    ):
        load_collection(folder, split="2019.pass")


def test_a_split_without_topics_of_its_year_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "dl", PASSAGE_FILES)
    (folder / "msmarco-test2019-queries.tsv").unlink()
    with pytest.raises(CollectionError, match=r"0 of the topics files .* are named after the split '2019\.pass'"):
        load_collection(folder, split="2019.pass")
