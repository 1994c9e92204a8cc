"""Retrieval of a collection: what is judged is ranked, measured and labelled."""

import re
from pathlib import Path

import ir_measures
import numpy as np
import pytest

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.loading import load_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.loading import load_retriever
from retroscope.errors import AnalysisError, RepresentationError, SettingsError
from retroscope.representations.represent import represent
from retroscope.representations.vectors import RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.measures import depth_caveats, measure_queries
from retroscope.retrieval.retrieve import LayerRetrieval, check_measures, rank_by_layers, retrieve, retrieve_layers
from retroscope.scores import load_scores

EYE = np.eye(4, dtype=np.float32)


def collection(*, ignore_identical_ids: bool = False, relevance: int = 1) -> Collection:
    """Four passages, the queries a and b (relevant: b for a, a for b) and one that nobody judged."""
    return make_collection(
        "toy",
        [Passage(i, f"text {i}") for i in "abcd"],
        [Query("a", "one"), Query("unjudged", "two"), Query("b", "three")],
        [Judgment("a", "b", relevance), Judgment("b", "a"), Judgment("a", "d", 0)],
        ignore_identical_ids=ignore_identical_ids,
    )


def vectors() -> RetrieverRepresentations:
    """Layer 0: every vector alike. Layer 1: a query is nearest to its own id, then to the relevant passage."""
    passages = np.stack([np.ones((4, 4)), EYE], axis=1)
    wanted = EYE[[0, 2, 1]] * 2 + EYE[[1, 3, 0]]
    queries = np.stack([np.ones((3, 4)), wanted], axis=1)
    return RetrieverRepresentations(
        "toy",
        representations_in_memory(["a", "unjudged", "b"], queries),
        representations_in_memory(list("abcd"), passages),
        "dot",
        {"retriever": "toy"},
        ("a self-test failed",),
    )


def test_judged_queries_are_ranked_and_measured() -> None:
    ranked = retrieve(vectors(), collection(), ["RR@10", "R@1"])
    assert ranked.scores.query_ids == ["a", "b"]
    assert list(ranked.run) == ["a", "b"]
    assert [hit[0] for hit in ranked.run["a"]][:2] == ["a", "b"]
    assert ranked.scores.select(measure="RR@10").values.values.tolist() == [0.5, 0.5]
    assert ranked.scores.warnings == ("a self-test failed",)
    assert ranked.scores.recipe["ties"] == "by id, the greater first (trec_eval)"


def test_the_querys_own_passage_can_be_ignored() -> None:
    ranked = retrieve(vectors(), collection(ignore_identical_ids=True), ["RR@10", "R@1"])
    assert ranked.scores.values.values.tolist() == [[1, 1], [1, 1]]
    assert "a" not in dict(ranked.run["a"])
    assert len(ranked.run["a"]) == 3
    assert ranked.scores.recipe["ignore_identical_ids"] is True


def test_layers_are_measured_one_by_one_and_the_last_equals_the_final_without_a_head() -> None:
    progress_calls: list[tuple[int, int]] = []
    by_layer = retrieve_layers(vectors(), collection(), ["RR@10"], lambda *news: progress_calls.append(news))
    assert by_layer.values.dims == ("query", "layer", "measure")
    assert progress_calls == [(4, 4)]
    final = retrieve(vectors(), collection(), ["RR@10"]).scores
    assert by_layer.select(layer=1).values.drop_vars("layer").equals(final.values)
    # layer 0: all alike, so the ranking is d, c, b, a for every query, whatever the order of the corpus
    assert by_layer.select(layer=0, measure="RR@10").values.values.tolist() == [1 / 3, 1 / 4]


BLIND = r"for every query, the first 4 passages have equal scores: only ids order them"
ALIKE = r"2 different queries have the same vector"


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize(
    ("passages", "queries", "why"),
    [
        (np.ones((4, 4)), EYE[:3] + 1, BLIND),
        (np.zeros((4, 4)), EYE[:3], BLIND),
        (EYE, np.zeros((3, 4)), BLIND),
        (EYE, np.ones((3, 4)) * [1, 2, 3, 4], ALIKE),
        (EYE, EYE[:3] + 0.1, ""),
        (np.ones((4, 4)) + EYE, EYE[:3], ""),
    ],
    ids=["constant passages", "zero passages", "zero queries", "constant queries", "fine", "nearly constant"],
)
def test_vectors_that_rank_by_id_alone_say_so(
    passages: np.ndarray, queries: np.ndarray, why: str, similarity: str
) -> None:
    """R@4 is 1 with every one of them: no measure shows it."""
    representations = RetrieverRepresentations(
        "toy",
        representations_in_memory(["a", "unjudged", "b"], queries.astype(np.float32)[:, None]),
        representations_in_memory(list("abcd"), passages.astype(np.float32)[:, None]),
        similarity,
        {"retriever": "toy"},
    )
    ranked = retrieve(representations, collection(), ["R@4"])
    assert ranked.scores.mean().item() == 1
    assert bool(ranked.blind) == bool(why)
    assert re.match(why, ranked.blind)
    assert ranked.scores.warnings == ((ranked.blind,) if why else ())
    layers = retrieve_layers(representations, collection(), ["R@4"]).warnings
    assert layers == ((f"retrieval by layer 0: {ranked.blind}",) if why else ())


def test_a_layer_0_that_is_one_vector_is_a_note_and_a_higher_one_a_warning() -> None:
    """Under `cls` every text has the same embedding at layer 0."""
    alike, apart = np.ones((4, 4)), np.eye(4)

    def ranked(*layers: np.ndarray) -> LayerRetrieval:
        stacked = np.stack(layers, axis=1).astype(np.float32)
        towers = (
            representations_in_memory(["a", "unjudged", "b"], stacked[:3]),
            representations_in_memory([*"abcd"], stacked),
        )
        return rank_by_layers(RetrieverRepresentations("toy", *towers, "dot", {}), collection(), ["R@4"])

    fine, broken = ranked(alike, apart), ranked(apart, alike)
    assert (len(fine.notes), fine.scores.warnings) == (1, ())
    assert broken.notes == ()
    assert re.match("retrieval by layer 1: for every query", broken.scores.warnings[0])


def test_equal_queries_are_no_fault_where_their_texts_are_equal() -> None:
    passages = [Passage(i, f"text {i}") for i in "abcd"]
    same = make_collection(
        "x", passages, [Query("a", "one"), Query("b", "one")], [Judgment("a", "b"), Judgment("b", "a")]
    )
    towers = (["a", "b"], np.ones((2, 1, 4)) * [1, 2, 3, 4]), (list("abcd"), EYE[:, None])
    representations = RetrieverRepresentations(
        "toy", *(representations_in_memory(*tower) for tower in towers), "dot", {}
    )
    assert retrieve(representations, same, ["R@4"]).blind == ""


def test_measures_are_tried_before_anything_is_encoded() -> None:
    check_measures(["nDCG@10", "RR@10", "AP"], collection(relevance=1000))
    with pytest.raises(
        SettingsError, match=r"cannot be computed with the judgments of the collection:\n  - ERR@10: Called"
    ):
        check_measures(["nDCG@10", "ERR@10"], collection())


def test_layer_scores_are_saved_with_their_labels(tmp_path: Path) -> None:
    by_layer = retrieve_layers(vectors(), collection(), ["RR@10", "nDCG@10"])
    by_layer.save(tmp_path / "s.zarr", "layers")
    back = load_scores(tmp_path / "s.zarr", "layers")
    assert back.values.equals(by_layer.values)
    assert back.values.coords["layer"].values.tolist() == [0, 1]


def test_vectors_of_another_collection_are_refused() -> None:
    other = make_collection("x", [Passage("a", "t")], [Query("q9", "t")], [Judgment("q9", "a")])
    with pytest.raises(RepresentationError, match=r"there are no stored vectors for these ids:\n  - q9"):
        retrieve(vectors(), other)


def test_a_collection_without_judged_queries_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"toy: no query has a relevant passage\n  fix: check the judgments"):
        retrieve(vectors(), Collection("toy", {}, {}, ()))


@pytest.mark.real
@pytest.mark.shared
def test_a_known_retriever_finds_what_it_is_known_to_find(shared: Path, minilm: Path, tmp_path: Path) -> None:
    """The first 120 passages and their queries of a set on which all-MiniLM-L6-v2 is known to be good."""
    whole = load_collection(f"beir:{shared / 'data' / 'nq-open-gold'}")
    kept = dict(list(whole.passages.items())[:120])
    judgments = [j for j in whole.judgments if j.passage_id in kept][:40]
    queries = [whole.queries[j.query_id] for j in judgments]
    small = make_collection("nq", kept.values(), {q.id: q for q in queries}.values(), judgments)
    retriever = load_retriever(minilm, max_length=64)
    found = represent(retriever, small, tmp_path / "cache")
    final = retrieve(found, small, ["RR@10"]).scores.mean().item()
    layers = retrieve_layers(found, small, ["RR@10"]).mean().sel(measure="RR@10").values
    assert final > 0.9
    assert layers[-1] == pytest.approx(final)
    assert layers[0] < final - 0.1


def test_a_cutoff_beyond_the_corpus_is_a_warning():
    (caveat,) = depth_caveats(["nDCG@10", "R@100"], passages=58)
    assert "R@100 uses the first 100 passages of a ranking, but the corpus has only 58" in caveat
    assert depth_caveats(["nDCG@10", "R@100"], passages=5800) == []


@pytest.mark.parametrize("names", [["RR@10", "MRR@10"], ["R@2", "R@2"], ["nDCG@10", "P@1", "NDCG@10"]])
def test_two_names_of_one_measure_are_refused(names: list[str]) -> None:
    with pytest.raises(SettingsError, match=r"'.*' and '.*' are names of the same measure"):
        measure_queries({"q": [("p", 1.0)]}, {"q": {"p": 1}}, names)


@pytest.mark.parametrize("seed", range(3))
def test_measures_are_those_of_ir_measures_on_whole_rankings(seed: int) -> None:
    """Graded judgments, rankings of unequal length, a query without a ranking and one without a relevant passage."""
    draw = np.random.default_rng(seed)
    names = ["nDCG@10", "RR@10", "RR", "RR(rel=2)@5", "RR(rel=0)@5", "R@5", "R@20", "P@3", "AP", "AP@10",
             "Success@5", "Judged@10", "nDCG(judged_only=True)@10", "RR(judged_only=True)", "Bpref"]  # fmt: skip
    qrels = {f"q{q}": {f"p{p}": int(draw.integers(0, 4)) for p in draw.permutation(40)[:12]} for q in range(30)}
    qrels["q28"] = dict.fromkeys(qrels["q28"], 0)
    empty = measure_queries({"q0": [], "q1": [("p", 1.0)]}, {"q0": {"p": 1}, "q1": {"p": 1}}, ["Judged@10", "RR@10"])
    assert empty.values.tolist() == [[0, 0], [1, 1]]
    run = {f"q{q}": [(f"p{p}", -float(k)) for k, p in enumerate(draw.permutation(40)[: draw.integers(1, 30)])]
           for q in range(29)}  # fmt: skip
    values = measure_queries(run, qrels, names)
    whole = {query: {passage: float(100 - k) for k, (passage, _) in enumerate(hits)} for query, hits in run.items()}
    measures = {ir_measures.parse_measure(name): name for name in names}
    expected = list(ir_measures.iter_calc(list(measures), qrels, whole))
    assert len(expected) == values.size
    for metric in expected:
        assert values.sel(query=metric.query_id, measure=measures[metric.measure]) == pytest.approx(
            metric.value, abs=1e-12
        )
