"""Search is exact, ties are broken by id, and blocks do not matter."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retroscope.errors import AnalysisError, SettingsError
from retroscope.representations.vectors import Representations, representations_in_memory
from retroscope.retrieval import search as module
from retroscope.retrieval.ranking import id_order, key_scores, keys_of
from retroscope.retrieval.search import as_run, search, search_layers


def passages(vectors: np.ndarray, ids: list[str] | None = None) -> Representations:
    names = ids or [f"p{i}" for i in range(len(vectors))]
    return representations_in_memory(names, np.asarray(vectors, dtype=np.float32)[:, None])


def unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def brute_force(
    queries: np.ndarray, corpus: np.ndarray, ids: list[str], k: int, similarity: str
) -> list[list[tuple[str, np.float32]]]:
    """Sort every passage by its score, then by its id, the greater first: the definition."""
    q, p = (np.asarray(v, dtype=np.float32) for v in (queries, corpus))
    if similarity == "cosine":
        q, p = unit(q), unit(p)
    scores = np.array([[np.float32(a.astype(np.float64) @ b.astype(np.float64)) for b in p] for a in q])
    return [
        sorted(((ids[j], row[j]) for j in range(len(ids))), key=lambda hit: (hit[1], hit[0]), reverse=True)[:k]
        for row in scores
    ]


def rows_in_blocks_of(size: int) -> Callable[..., Iterator[slice]]:
    return lambda self, array: (slice(i, i + size) for i in range(0, len(self.ids), size))


def hits_of(
    queries: np.ndarray, corpus: np.ndarray, ids: list[str], k: int, similarity: str
) -> list[list[tuple[str, np.float32]]]:
    ranking = search(np.asarray(queries, dtype=np.float32), passages(corpus, ids), k, similarity=similarity)
    return [
        [(ids[row], score) for row, score in zip(rows, scores, strict=True)]
        for rows, scores in zip(ranking.rows, ranking.scores, strict=True)
    ]


@st.composite
def crowded(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[str], int, int]:
    """Few distinct vectors among many passages, ids in any order, small blocks, any k."""
    dim = draw(st.integers(1, 5))
    value = st.one_of(st.integers(-2, 2).map(float), st.floats(-4, 4, width=32, allow_subnormal=False))
    vector = st.lists(value, min_size=dim, max_size=dim)
    kinds = draw(st.lists(vector, min_size=1, max_size=5))
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=60))
    queries = draw(st.lists(st.one_of(vector, st.sampled_from(kinds)), min_size=1, max_size=4))
    ids = draw(st.permutations([f"{i}" for i in range(len(chosen))]))
    return np.array(queries), np.array(chosen), list(ids), draw(st.integers(1, 70)), draw(st.integers(1, 40))


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@settings(max_examples=150)
@given(case=crowded())
def test_search_equals_brute_force_with_many_ties_and_small_blocks(
    similarity: str, case: tuple[np.ndarray, np.ndarray, list[str], int, int]
) -> None:
    queries, corpus, ids, k, block = case
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Representations, "_blocks", rows_in_blocks_of(block))
        assert hits_of(queries, corpus, ids, k, similarity) == brute_force(queries, corpus, ids, k, similarity)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("block", [1, 7, 64, 333, 5000])
def test_blocks_do_not_matter(similarity: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    corpus = draw.normal(size=(1000, 24)).astype(np.float32)
    corpus[500:] = corpus[draw.integers(0, 500, size=500)]  # twins in other blocks
    queries = draw.normal(size=(30, 24)).astype(np.float32)
    ids = [f"{i}" for i in draw.permutation(1000)]
    whole = hits_of(queries, corpus, ids, 20, similarity)
    monkeypatch.setattr(Representations, "_blocks", rows_in_blocks_of(block))
    assert hits_of(queries, corpus, ids, 20, similarity) == whole


def test_equal_vectors_are_ranked_by_id_alone() -> None:
    """The first token at layer 0 is the same in every text."""
    corpus = np.ones((500, 8)) * 0.1
    ids = [f"{i:03}" for i in np.random.default_rng(0).permutation(500)]
    for hits in hits_of(np.random.default_rng(1).normal(size=(3, 8)), corpus, ids, 10, "cosine"):
        assert [i for i, _ in hits] == [f"{499 - i:03}" for i in range(10)]
        assert len({score for _, score in hits}) == 1


def test_a_tie_wider_than_what_faiss_was_asked_for_is_ranked_by_id() -> None:
    corpus = np.zeros((200, 4))
    corpus[:, 0] = 1
    corpus[:5, 0] = 2
    ids = [f"{i:03}" for i in range(200)]
    hits = hits_of(np.eye(4)[:1], corpus, ids, 8, "dot")[0]
    assert [i for i, _ in hits] == ["004", "003", "002", "001", "000", "199", "198", "197"]


def test_scores_that_cancel_are_exact() -> None:
    """Large vectors with small products: float32 noise is far above the differences between scores."""
    draw = np.random.default_rng(0)
    base = draw.normal(size=64)
    base *= 3000 / np.linalg.norm(base)
    query = draw.normal(size=64)
    query -= (query @ base) / (base @ base) * base
    corpus = base + draw.normal(size=(400, 64)) * 1e-2
    queries = (query * 1000)[None]
    ids = [f"{i}" for i in range(400)]
    assert hits_of(queries, corpus, ids, 10, "dot") == brute_force(queries, corpus, ids, 10, "dot")


def test_nearly_parallel_vectors_are_told_apart() -> None:
    """Cosines that differ by less than float32 noise: an anisotropic layer."""
    draw = np.random.default_rng(0)
    corpus = 1 + draw.normal(size=(400, 32)) * 1e-4
    queries = 1 + draw.normal(size=(5, 32)) * 1e-4
    ids = [f"{i}" for i in range(400)]
    assert hits_of(queries, corpus, ids, 10, "cosine") == brute_force(queries, corpus, ids, 10, "cosine")


def test_the_cosine_of_a_zero_vector_is_zero_and_of_a_tiny_one_is_not() -> None:
    corpus = np.array([[0, 0], [1e-30, 0], [-3e30, 0], [0, 5]])
    hits = hits_of(np.array([[2.0, 0.0], [0.0, 0.0]]), corpus, ["zero", "tiny", "huge", "other"], 4, "cosine")
    assert hits[0] == [("tiny", 1), ("zero", 0), ("other", 0), ("huge", -1)]
    assert [score for _, score in hits[1]] == [0, 0, 0, 0]
    assert [i for i, _ in hits[1]] == ["zero", "tiny", "other", "huge"]


@pytest.mark.parametrize("k", [3, 4, 100])
def test_a_corpus_smaller_than_k_is_ranked_whole(k: int) -> None:
    ranking = search(np.eye(2, dtype=np.float32), passages(np.eye(2).repeat(2, 0)[:3]), k, similarity="dot")
    assert ranking.rows.shape == (2, 3)
    assert sorted(ranking.rows[0].tolist()) == [0, 1, 2]


def test_scores_depend_on_the_two_vectors_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    queries, corpus = draw.normal(size=(2, 9, 300)).astype(np.float32)
    whole = module._exact(queries, corpus, np.repeat(np.arange(9), 9), np.tile(np.arange(9), 9))
    first = np.array([0])
    for step in (1, 2**10, 2**24):
        monkeypatch.setattr(module, "CHUNK_NUMBERS", step)
        parts = [module._exact(queries[i][None], corpus[8][None], first, first)[0] for i in range(9)]
        assert parts == whole[8::9].tolist()


def test_unsure_queries_are_settled_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TABLE_NUMBERS", 1)
    corpus = np.tile(np.eye(3), (40, 1))
    ids = [f"{i:03}" for i in range(120)]
    queries = np.random.default_rng(0).normal(size=(6, 3))
    assert hits_of(queries, corpus, ids, 5, "cosine") == brute_force(queries, corpus, ids, 5, "cosine")


def test_ids_are_ordered_as_trec_eval_orders_bytes() -> None:
    ids = ["10", "9", "é", "z", "Z", "𝔘", "ﬀ", "a", "aa"]
    by_bytes = sorted(ids, key=lambda i: i.encode(), reverse=True)
    assert [ids[i] for i in np.argsort(id_order(ids))] == by_bytes


def test_the_querys_own_passage_is_dropped_on_request() -> None:
    vectors = passages(np.eye(3), ["a", "b", "c"])
    ranking = search(np.eye(3, dtype=np.float32), vectors, 3, similarity="dot")
    kept = as_run(ranking, ["a", "b", "x"], vectors.ids, skip_identical=False, k=2)
    dropped = as_run(ranking, ["a", "b", "x"], vectors.ids, skip_identical=True, k=2)
    assert [hit[0] for hit in kept["a"]] == ["a", "c"]
    assert [hit[0] for hit in dropped["a"]] == ["c", "b"]
    assert kept["x"] == dropped["x"]


def test_layers_are_searched_by_their_own_vectors() -> None:
    layers = np.stack([np.eye(2), np.eye(2)[::-1]], axis=1).astype(np.float32)
    both = representations_in_memory(["a", "b"], layers)
    query = np.array([[1, 0]], dtype=np.float32)
    assert [int(hits_of.rows[0, 0]) for hits_of in search_layers([query, query], both, 1, similarity="dot")] == [0, 1]
    with pytest.raises(AnalysisError, match="the query tower has 1 layers, but the passage tower has 2"):
        search_layers([query], both, 1, similarity="dot")


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("block", [7, 64, 5000])
def test_layers_searched_together_are_ranked_as_each_alone(
    similarity: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among them layers that float32 cannot rank: all alike, and alike but for noise."""
    draw = np.random.default_rng(0)
    free = draw.normal(size=(300, 8))
    corpus = np.stack([free, 1 + free * 1e-6, np.ones_like(free), free.round()], axis=1).astype(np.float32)
    queries = [draw.normal(size=(9, 8)).astype(np.float32) + k for k in range(4)]
    ids = [f"{i}" for i in draw.permutation(300)]
    alone = [hits_of(q, corpus[:, k], ids, 20, similarity) for k, q in enumerate(queries)]
    monkeypatch.setattr(Representations, "_blocks", rows_in_blocks_of(block))
    seen: list[tuple[int, int]] = []
    together = search_layers(
        queries, representations_in_memory(ids, corpus), 20, similarity=similarity, progress=lambda *n: seen.append(n)
    )
    for ranking, expected in zip(together, alone, strict=True):
        assert [
            [(ids[row], score) for row, score in zip(*hits, strict=True)]
            for hits in zip(ranking.rows, ranking.scores, strict=True)
        ] == expected
    assert seen == [(min(start + block, 300), 300) for start in range(0, 300, block)]


@given(values=st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=50))
def test_keys_sort_as_scores_and_then_as_ids(values: list[float]) -> None:
    scores = np.array(values, dtype=np.float32)
    places = np.random.default_rng(0).permutation(len(scores))
    keys = keys_of(scores, places)
    expected = sorted(range(len(scores)), key=lambda i: (-scores[i], places[i]))
    assert np.argsort(-keys).tolist() == expected
    np.testing.assert_array_equal(key_scores(keys), scores)


def test_mistakes_are_named() -> None:
    with pytest.raises(SettingsError, match=r"unknown similarity 'cosin'\n  fix: did you mean 'cosine'"):
        search(np.eye(2, dtype=np.float32), passages(np.eye(2)), 1, similarity="cosin")
    with pytest.raises(
        AnalysisError, match=r"the query vectors have 3 dimensions, but the passage vectors have 2\n  fix: search"
    ):
        search(np.eye(3, dtype=np.float32), passages(np.eye(2)), 1, similarity="dot")
