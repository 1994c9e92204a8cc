"""Every query, as a study stores it and as a page holds it."""

import numpy as np
import pytest

import retroscope.analyses.retrieval.queries as page
from retroscope.analyses.layers.queries import page_layers
from retroscope.analyses.retrieval.queries import page_queries
from retroscope.analyses.retrieval.stored import listed_rows
from retroscope.files.documents import packed_json
from retroscope.retrieval.runs import first_relevant_ranks
from synthetic_retrieval import layer_result, layer_scores, rankings, retrieval_result, retrieval_scores
from synthetic_subject import N_QUERIES, query_ids, subject


def test_small_studies_list_every_query_and_large_ones_a_stated_sample() -> None:
    change = np.r_[np.zeros(60), np.linspace(-1, 1, 40)]
    assert listed_rows(change, most=100) == list(range(100))
    sample = listed_rows(change, most=20)
    assert (len(sample), sample) == (20, sorted(set(sample)))
    assert set(np.argsort(-np.abs(change))[:10]) <= set(sample), "half of them changed most"
    assert listed_rows(change, most=20) == sample
    assert 3 <= sum(row < 60 for row in sample) <= 10, "the others are drawn, most of them unchanged"
    assert len(listed_rows(np.r_[change, np.nan], most=20)) == 20


def test_the_rank_of_the_first_relevant_passage() -> None:
    run = {"a": [("p1", 3.0), ("p2", 2.0)], "b": [("p1", 1.0)], "c": []}
    assert first_relevant_ranks(run, {"a": {"p1": 0, "p2": 1}, "b": {"p3": 1}}) == {"a": 2, "b": 0, "c": 0}


def test_a_page_holds_the_scores_and_ranks_that_are_stored() -> None:
    (held,) = page_queries(retrieval_result().by_collection, "RR")
    for side, scores in zip(("before", "after"), retrieval_scores(), strict=True):
        stored = scores.select(measure="RR").values.values
        assert held["scores"][side] == pytest.approx(stored.tolist(), abs=5e-5)
        assert held["ranks"][side] == np.rint(1 / stored).astype(int).tolist()
    layers = page_layers(layer_result().first, subject())
    assert layers["ids"] == query_ids()
    assert layers["ranks"]["before"][0] == list(range(2, 9))
    for side, scores in zip(("before", "after"), layer_scores(), strict=True):
        assert np.array(layers["scores"][side]) == pytest.approx(
            scores.select(measure="nDCG@10").values.values, abs=5e-5
        )


def test_texts_are_cut_until_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "".join(np.random.default_rng(0).choice(list("abcdefghij"), 400))
    result = retrieval_result(rankings=rankings(passage=words))
    (whole,) = page_queries(result.by_collection, "RR")
    assert (whole["cut"], len(whole["passages"]["texts"][0])) == (page.CUTS[0], page.CUTS[0] + len(" ..."))
    monkeypatch.setattr(page, "BUDGET", len(packed_json(whole)) - 1)
    (cut,) = page_queries(result.by_collection, "RR")
    assert cut["cut"] == page.CUTS[1]
    assert len(packed_json(cut)) < len(packed_json(whole))


def test_queries_outside_the_sample_have_ranks_and_no_rankings() -> None:
    (held,) = page_queries(retrieval_result(rankings=rankings(listed=5)).by_collection, "RR")
    assert (held["listed"], len(held["ids"])) == (5, N_QUERIES)
    assert [bool(hits) for hits in held["hits"]["after"][:7]] == [True] * 5 + [False] * 2
    assert page_queries(retrieval_result(rankings=None).by_collection, "RR") == []
