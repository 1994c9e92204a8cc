import gc
import os
import pickle
import sys
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retroscope.collection import passages as module
from retroscope.collection.passages import store_passages
from retroscope.collection.records import Passage
from retroscope.errors import CollectionError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
RECORDS = st.lists(st.builds(Passage, id=TEXT, text=TEXT, title=TEXT), max_size=30, unique_by=lambda p: p.id)
BACKINGS = {"memory": 2**30, "disk": -1}


@pytest.fixture
def own_temp(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("limit", BACKINGS.values(), ids=BACKINGS)
@given(records=RECORDS, absent=TEXT)
def test_a_table_is_the_dict_of_its_passages(limit, records, absent):
    table = store_passages(iter(records), in_memory_bytes=limit)
    plain = {p.id: p for p in records}
    assert table == plain
    assert list(table) == list(plain)
    assert list(table.values()) == list(plain.values())
    assert list(table.items()) == list(plain.items())
    assert len(table) == len(plain)
    assert all(key in table and table[key] == plain[key] for key in plain)
    assert (absent in table) == (absent in plain)
    assert table.get(absent) == plain.get(absent)
    assert table.repeated_ids() == []
    assert 7 not in table


def test_colliding_hashes_are_told_apart(monkeypatch):
    monkeypatch.setattr(module, "hash_of", lambda key: len(key) % 2)
    records = [Passage(str(k), f"text {k}") for k in range(200)]
    table = store_passages([*records, Passage("7", "again"), Passage("150", "again")])
    assert [table[p.id].text for p in records] == [p.text for p in records]
    assert table.repeated_ids() == ["7", "150"]
    with pytest.raises(KeyError, match="no such"):
        table["no such"]


def test_several_blocks_and_batches_are_one_table(monkeypatch):
    monkeypatch.setattr(module, "BATCH_ROWS", 3)
    records = [Passage(f"id/../{k}", "x" * k, "title") for k in range(10)]
    for limit in (2**30, 200, -1):
        table = store_passages(iter(records), in_memory_bytes=limit)
        assert [table[p.id] for p in reversed(records)] == records[::-1]
        assert list(table.values()) == records


def test_the_file_has_no_name_so_that_a_killed_process_leaves_none(own_temp):
    held = pa.total_allocated_bytes()
    table = store_passages([Passage("a", "text " * 100_000)], in_memory_bytes=-1)
    assert list(own_temp.iterdir()) == []
    assert pa.total_allocated_bytes() - held < 100_000, "the text is mapped, and not in memory"
    assert table["a"].text == "text " * 100_000


def test_nothing_is_written_in_memory_and_nothing_stays_after_an_error(own_temp):
    def broken():
        yield from (Passage(str(k), "text") for k in range(10_000))
        raise CollectionError("stop")

    store_passages([Passage("a", "text")])
    assert list(own_temp.iterdir()) == []
    with pytest.raises(CollectionError, match="stop"):
        store_passages(broken(), in_memory_bytes=-1)
    assert list(own_temp.iterdir()) == []


def test_a_pickled_table_works_without_its_file(own_temp):
    table = store_passages([Passage("a", "text"), Passage("b", "more")], in_memory_bytes=-1)
    packed = pickle.dumps(table)
    plain = dict(table)
    del table
    gc.collect()
    assert list(own_temp.iterdir()) == []
    assert pickle.loads(packed) == plain


def test_half_characters_are_refused_by_id():
    with pytest.raises(CollectionError, match=r"lone UTF-16 surrogate(.|\n)*'bad'"):
        store_passages([Passage("good", "text"), Passage("bad", "half \ud83d")])


def peak_bytes(length: int, count: int = 2000) -> int:
    """Peak of Python's and Arrow's memory while storing and streaming passages of this many characters."""
    pool_before = pa.total_allocated_bytes()
    tracemalloc.start()
    table = store_passages((Passage(str(k), "x" * length) for k in range(count)), in_memory_bytes=2**20)
    held = pa.total_allocated_bytes() - pool_before
    assert sum(len(p.text) for p in table.values()) == length * count
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak + held


def test_peak_memory_does_not_grow_with_the_text(monkeypatch):
    monkeypatch.setattr(module, "BATCH_CHARACTERS", 2**18)
    short, long = peak_bytes(2_000), peak_bytes(20_000)  # 4 MB against 40 MB of text
    assert long - short < 4 * 2**20
    kept_in_memory = 40_000_000
    assert long < kept_in_memory / 4  # the control: holding the text would cost that much


def test_an_index_costs_sixteen_bytes_a_passage():
    table = store_passages(Passage(str(k), "x") for k in range(1000))
    arrays = [v for v in vars(table).values() if isinstance(v, np.ndarray) and len(v) == 1000]
    assert sum(a.nbytes for a in arrays) == 16 * 1000


def test_no_stray_file_in_the_working_folder():
    assert not list(Path.cwd().glob("retroscope-*.arrow"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes back the pages of a mapped file")
def test_passages_on_disk_leave_the_memory_of_the_process_after_reading(own_temp):
    table = store_passages((Passage(str(k), "x" * 10_000) for k in range(4_000)), in_memory_bytes=2**20)
    before = pages_of_files()
    assert sum(len(passage.text) for passage in table.values()) == 40_000_000
    assert len(list(table)) == 4_000
    assert pages_of_files() - before < 1_000  # of 4 KiB; the table has 10,000
    assert table["3999"].text == "x" * 10_000


def pages_of_files() -> int:
    """Return how many 4 KiB pages of mapped files are in the memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[2]) * os.sysconf("SC_PAGE_SIZE") // 4096
