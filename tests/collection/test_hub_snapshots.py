"""Copies of hub repositories: parquet files of pairs and triplets, and configurations as folders, as NanoBEIR has."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_folders import TOY, assert_same, write_beir

from retroscope.collection.loading import load_collection
from retroscope.collection.readers.registry import READERS
from retroscope.errors import CollectionError

PAIRS = [("fever?", "Aspirin.", "Tea."), ("tea?", "Tea.", "Oil."), ("oil?", "Oil.", "Aspirin.")]
HASHED = "data/train-00000-of-00001-6ae1b1e0f5ba3a0e"
NAMES = ("query-id", "corpus-id", "score")


def save(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([*rows]), path)
    return path


def save_pairs(folder: Path, names: Iterable[str], columns: tuple[str, ...]) -> Path:
    """Write the pairs into these files, each file its share, in order."""
    files = [*names]
    size = -(-len(PAIRS) // len(files))
    for k, name in enumerate(files):
        some = PAIRS[k * size : (k + 1) * size]
        save(folder / f"{name}.parquet", [dict(zip(columns, row, strict=False)) for row in some])
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ["data/train-00000-of-00002", "data/train-00001-of-00002"],
        ["train-00000-of-00001"],
        ["train"],
        [HASHED],
        ["train/0000", "train/0001"],
    ],
    ids=["data", "beside the card", "whole", "with a hash", "converted by the hub"],
)
@pytest.mark.parametrize("columns", [("anchor", "positive", "negative"), ("query", "answer", "negative_1")])
def test_parquet_of_a_snapshot_is_read_back(columns: tuple[str, ...], names: list[str], tmp_path: Path) -> None:
    folder = save_pairs(tmp_path / "pairs", names, columns)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Pairs\n")
    assert [name for name, reader in READERS.items() if reader.recognises(folder)] == ["hf"]
    read = load_collection(folder)
    chosen = [(read.queries[c.query_id].text, read.passages[c.positive].text, c.negatives) for c in read.candidates]
    assert [(q, p, *(read.passages[n].text for n in ids)) for q, p, ids in chosen] == PAIRS
    assert (read.name, read.mapping["split"], len(read.judgments)) == ("pairs", "train", 3)


def test_splits_of_a_snapshot_are_chosen(tmp_path: Path) -> None:
    for split, row in zip(("train", "test", "validation"), PAIRS, strict=True):
        save(tmp_path / "data" / f"{split}-00000-of-00001.parquet", [{"anchor": row[0], "positive": row[1]}])
    assert [q.text for q in load_collection(tmp_path).queries.values()] == ["tea?"]
    assert [q.text for q in load_collection(tmp_path, split="validation").queries.values()] == ["oil?"]


def test_other_columns_of_a_snapshot_are_told_how_to_be_named(tmp_path: Path) -> None:
    folder = save_pairs(tmp_path, ["data/train-00000-of-00001"], ("question", "answer"))
    words = r"--set data\.columns='\{query: question, positive: answer\}'"
    place = r"data/train-00000-of-00001\.parquet \(question, answer\) have the texts: --data hf:"
    with pytest.raises(CollectionError, match=rf"no format fits this path(.|\n)*{place}{folder} {words}"):
        load_collection(folder)
    with pytest.raises(CollectionError, match=rf"but fit none; columns: question, answer\n.*{words}"):
        load_collection(f"hf:{folder}")
    read = load_collection(f"hf:{folder}", columns={"query": "question", "positive": "answer"})
    assert [q.text for q in read.queries.values()] == [row[0] for row in PAIRS]
    assert (read.mapping["query"], read.mapping["positive"]) == ("question", "answer")


def test_configurations_that_are_folders_are_named(tmp_path: Path) -> None:
    one, two = (save_pairs(tmp_path / c, ["train-00000-of-00001"], ("anchor", "positive")) for c in ("pair", "triplet"))
    with pytest.raises(CollectionError, match=rf"lies inside this folder(.|\n)*give the folder {one} or {two}"):
        load_collection(tmp_path)
    assert len(load_collection(two).judgments) == 3
    (one / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(CollectionError, match=rf"lies inside this folder(.|\n)*give the folder {two}$"):
        load_collection(tmp_path)
    with pytest.raises(CollectionError, match=r"pair/train-00000-of-00001\.parquet: damaged parquet"):
        load_collection(one)


def test_parquet_files_in_two_places_are_refused(tmp_path: Path) -> None:
    folder = save_pairs(tmp_path, ["train", "data/train"], ("anchor", "positive"))
    with pytest.raises(CollectionError, match=r"this folder and the folder data in it both have parquet files"):
        load_collection(folder)


@pytest.mark.parametrize(
    "names", [["train/0000", "train/0002"], ["train/0001"], ["train/0000", "train"]], ids=["gap", "no first", "twice"]
)
def test_files_of_a_conversion_that_lacks_some_are_refused(names: list[str], tmp_path: Path) -> None:
    folder = save_pairs(tmp_path, names, ("anchor", "positive"))
    with pytest.raises(CollectionError, match=r"'train' must be numbered from 0000(.|\n)*train/0000\.parquet"):
        load_collection(folder)


def test_splits_and_configurations_converted_by_the_hub(tmp_path: Path) -> None:
    for split, row in zip(("train", "test"), PAIRS[:2], strict=True):
        save(tmp_path / "pair" / split / "0000.parquet", [{"anchor": row[0], "positive": row[1]}])
    assert [q.text for q in load_collection(tmp_path / "pair", split="test").queries.values()] == [PAIRS[1][0]]
    passages, queries, judgments = TOY
    beir = tmp_path / "beir"
    save(
        beir / "corpus" / "corpus" / "0000.parquet", [{"_id": p.id, "title": p.title, "text": p.text} for p in passages]
    )
    save(beir / "queries" / "queries" / "0000.parquet", [{"_id": q.id, "text": q.text} for q in queries])
    rows = [dict(zip(NAMES, (j.query_id, j.passage_id, j.relevance), strict=True)) for j in judgments]
    save(beir / "default" / "test" / "0000.parquet", rows)
    read = load_collection(beir)
    assert_same(read, TOY)
    assert (read.mapping["judgments"], read.mapping["split"]) == ("default", "test")


def write_nano(folder: Path, qrels: Iterable[Mapping[str, object]]) -> Path:
    """Write the toy collection as three folders, one for each configuration, each with the split train."""
    passages, queries, _ = TOY
    parts = {
        "corpus": [{"_id": p.id, "title": p.title, "text": p.text} for p in passages],
        "queries": [{"_id": q.id, "text": q.text} for q in queries],
        "qrels": qrels,
    }
    for part, rows in parts.items():
        save(folder / part / "train-00000-of-00001.parquet", rows)
    return folder


def test_configurations_of_nano_beir_are_read_back(tmp_path: Path) -> None:
    relevant = [j for j in TOY[2] if j.relevance == 1]
    folder = write_nano(
        tmp_path / "NanoToy", [dict(zip(NAMES, (j.query_id, j.passage_id), strict=False)) for j in relevant]
    )
    read = load_collection(folder)
    assert_same(read, (TOY[0], TOY[1], relevant))
    assert (read.mapping["format"], read.mapping["judgments"], read.mapping["split"]) == ("hf", "qrels", "train")
    assert "the qrels have no grades: each of their 1 pairs counts as relevant (grade 1)" in read.notes


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            ("q1", "d2", 1, "stars"),
            r"row 1: no column 'score' or 'relevance' or 'label'; found: query-id, corpus-id, st",
        ),
        (("q1", "d2", None, "score"), r"row 1: relevance must be a whole number .* found None"),
    ],
)
def test_qrels_of_configurations_that_are_unclear_are_refused(
    row: tuple[object, ...], expected: str, tmp_path: Path
) -> None:
    query, passage, value, name = row
    folder = write_nano(tmp_path, [{"query-id": query, "corpus-id": passage, str(name): value}])
    with pytest.raises(CollectionError, match=rf"qrels/train-00000-of-00001\.parquet, {expected}"):
        load_collection(folder)


def test_a_folder_that_is_both_of_beir_and_of_configurations_is_refused(tmp_path: Path) -> None:
    folder = write_nano(tmp_path, [dict(zip(NAMES, ("q1", "d2", 1), strict=True))])
    write_beir(folder, TOY)
    with pytest.raises(CollectionError, match=r"several formats fit this path: beir, hf\n  fix: put the format before"):
        load_collection(folder)
    assert_same(load_collection(f"beir:{folder}"), TOY)


def test_a_snapshot_in_the_cache_of_the_hub_has_the_name_of_its_data_set(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "datasets--mteb--arguana" / "snapshots" / "abc", TOY)
    read = load_collection(folder)
    assert (read.name, read.ignore_identical_ids) == ("arguana", True)
    for k, file in enumerate(sorted(p for p in folder.rglob("*") if p.is_file())):  # as the cache has them
        blob = file.rename(tmp_path / f"blob-{k}")
        file.symlink_to(blob)
    assert load_collection(folder).fingerprint == read.fingerprint
    other = load_collection(write_beir(tmp_path / "datasets--mteb--nq" / "snapshots" / "abc", TOY))
    assert (other.name, other.ignore_identical_ids) == ("nq", False)
