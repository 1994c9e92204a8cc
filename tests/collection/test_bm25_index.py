"""An index in files has the scores of one in memory, bit by bit, and its files end with it."""

import tempfile
from pathlib import Path

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retroscope.collection import bm25, bm25_index
from retroscope.collection.bm25 import bm25_ranking
from retroscope.collection.bm25_index import write_index
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query


@settings(max_examples=60)
@given(
    passages=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=1, max_size=30),
    batch=st.integers(1, 40),
)
def test_the_files_are_the_index_of_bm25s(passages: list[list[int]], batch: int) -> None:
    known = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    words = max(max(words) for words in passages) + 1
    known.index((passages, {str(k): k for k in range(words)}), create_empty_token=False, show_progress=False)
    with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory() as folder:
        patched.setattr(bm25_index, "BATCH", batch)
        assert write_index(iter(passages), Path(folder), k1=1.2, b=0.75) == len(passages)
        names = ("data", "indices", "indptr")
        assert sorted(path.name for path in Path(folder).iterdir()) == [f"{name}.csc.index.npy" for name in names]
        for name in names:
            np.testing.assert_array_equal(np.load(Path(folder, f"{name}.csc.index.npy")), known.scores[name])


def collection() -> Collection:
    draw = np.random.default_rng(0)
    texts = [" ".join(f"w{k}" for k in draw.zipf(1.4, size=20) % 500) for _ in range(300)]
    passages = [Passage(f"p{i}", text) for i, text in enumerate([*texts, "the", "?"])]
    queries = [Query(f"q{i}", text) for i, text in enumerate(texts[:20])]
    return make_collection("made up", passages, queries, [Judgment(q.id, "p0") for q in queries])


def test_a_large_corpus_is_ranked_as_a_small_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small = collection()
    known = bm25_ranking(small)
    expected = [known(query, 50) for query in small.queries]
    monkeypatch.setattr(bm25, "IN_MEMORY", 100)
    monkeypatch.setattr(bm25_index, "BATCH", 64)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    written = []
    monkeypatch.setattr(
        bm25, "write_index", lambda *a, **k: written.append(bm25_index.write_index(*a, **k)) or written[0]
    )
    ranking = bm25_ranking(small)
    assert not [*tmp_path.iterdir()], "the files are mapped, and no longer need a name"
    assert written == [len(small.passages)]
    assert [ranking(query, 50) for query in small.queries] == expected
