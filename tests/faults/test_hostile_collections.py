"""Hostile collections are refused at the door, with file, line and what to do; `make faults` tries the whole table."""

import gzip
from pathlib import Path

import pytest
from hostile_case import put
from hostile_collections import beir, collection_cases, jsonl, make_bombs
from hostile_doors import summary, tried, warm

from retroscope.collection.loading import load_collection
from retroscope.errors import CollectionError, SettingsError

CASES = list(collection_cases())
EACH = 20


def test_the_table_has_every_class() -> None:
    assert len(CASES) > 1000
    assert len({case.kind for case in CASES}) > 20


@pytest.mark.parametrize("start", range(4))
def test_hostile_collections_are_refused(start: int) -> None:
    warm()
    make_bombs()
    verdicts = [tried(case, seconds=120) for case in CASES[start * (EACH // 4) :: EACH]]
    wrong = [f"{v.case.title}: {v.what}: {v.message[:200]}" for v in verdicts if v.wrong]
    assert wrong == [], summary(verdicts)


def test_an_error_names_file_line_and_what_to_do(tmp_path: Path) -> None:
    place = beir(tmp_path)
    put(place / "corpus.jsonl", jsonl([{"_id": "a", "text": "b"}]) + '{"_id": ' + "9" * 5000 + "}\n")
    with pytest.raises(
        CollectionError,
        match=r"corpus\.jsonl, line 2: this JSON cannot be read: Exceeds the limit .*\n  fix: write one complete",
    ):
        load_collection(place)


def test_the_number_of_queries_is_checked_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="limit_queries must be at least 1, got 0"):
        load_collection(tmp_path / "nothing", limit_queries=0)


def test_a_packed_parquet_is_read_as_before(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"query": ["a", "b"], "positive": ["c", "d"]}), tmp_path / "plain.parquet")
    put(tmp_path / "x.parquet.gz", gzip.compress((tmp_path / "plain.parquet").read_bytes()))
    assert len(load_collection(f"st:{tmp_path / 'x.parquet.gz'}").queries) == 2
