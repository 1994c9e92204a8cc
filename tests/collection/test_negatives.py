import itertools
import math
import re
from collections import Counter

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retroscope.collection.bm25 import TOKEN, best_rows, bm25_ranking
from retroscope.collection.collection import make_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.errors import CollectionError, SettingsError

WORDS = ["river", "moon", "stone", "harp", "cloud"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)


@st.composite
def collections(draw):
    """Passages over few words (so scores tie and texts repeat), in an order that is not that of their ids."""
    ids = draw(st.permutations([f"p{k}" for k in range(8)]))
    passages = [Passage(i, draw(TEXTS), draw(st.sampled_from(["", "harp"]))) for i in ids]
    queries = [Query(f"q{k}", draw(TEXTS)) for k in range(3)]
    judgments = [Judgment("q0", ids[0])] + [
        Judgment(q.id, p, draw(st.integers(0, 2))) for q in queries for p in draw(st.sets(st.sampled_from(ids[1:])))
    ]
    return make_collection("toy", passages, queries, judgments, ignore_identical_ids=draw(st.booleans()))


def bm25_by_hand(collection, query, k1=1.2, b=0.75):
    """Lucene's BM25, term by term (Kamphuis et al. 2020, table 1), without stop words in the vocabulary."""
    texts = {i: Counter(collection.passage_text(i).split()) for i in collection.passages}
    mean = sum(map(Counter.total, texts.values())) / len(texts)
    scores = dict.fromkeys(texts, 0.0)
    for word in query.split():
        n = sum(word in t for t in texts.values())
        idf = math.log(1 + (len(texts) - n + 0.5) / (n + 0.5))
        for i, t in texts.items():
            scores[i] += idf * t[word] / (t[word] + k1 * (1 - b + b * t.total() / mean)) if t[word] else 0.0
    return scores


@settings(max_examples=60)
@given(collection=collections())
def test_bm25_ranks_as_the_formula_does(collection):
    ranking = bm25_ranking(collection)
    for query in collection.queries.values():
        scores = bm25_by_hand(collection, query.text)
        ranked = ranking(query.id, 8)
        assert set(ranked) == {i for i, s in scores.items() if s > 0}
        for before, after in itertools.pairwise(ranked):
            assert scores[before] >= scores[after] - 1e-5  # bm25s stores float32


@settings(max_examples=60)
@given(collection=collections(), n=st.integers(1, 8))
def test_negatives_are_sound(collection, n):
    mined = hard_negatives(collection, n)
    relevant = {q: {p for p, r in collection.qrels[q].items() if r > 0} for q in collection.judged_queries}
    pairs = [(q, p) for q in collection.judged_queries for p in collection.qrels[q] if p in relevant[q]]
    assert [(c.query_id, c.positive) for c in mined.candidates] == pairs
    for c in mined.candidates:
        assert len(c.negatives) <= n
        assert len(set(c.negatives)) == len(c.negatives)
        texts = {collection.passage_text(p) for p in relevant[c.query_id]}
        assert not {collection.passage_text(p) for p in c.negatives} & texts
    assert mined.short == sum(len(c.negatives) < n for c in mined.candidates)
    assert mined == hard_negatives(collection, n)
    longer = hard_negatives(collection, n + 1)
    for c, d in zip(mined.candidates, longer.candidates, strict=True):
        assert d.negatives[:n] == c.negatives


@given(scores=st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=1, max_size=12), data=st.data())
def test_the_best_are_those_of_a_full_sort(scores, data):
    place = np.array(data.draw(st.permutations(range(len(scores)))))
    depth = data.draw(st.integers(1, len(scores) + 1))
    rows = sorted((r for r in range(len(scores)) if scores[r] > 0), key=lambda r: (-scores[r], place[r]))
    assert list(best_rows(np.array(scores), place, depth)) == rows[:depth]


def toy(**settings):
    passages = [
        Passage("gold", "the moon orbits the earth", "Moon"),
        Passage("copy", "the moon orbits the earth", "Moon"),
        Passage("b", "moon moon rises"),
        Passage("a", "moon moon rises"),
        Passage("c", "the moon is a stone"),
        Passage("q", "does the moon orbit"),
        Passage("graded", "the moon, again"),
        Passage("far", "cheese"),
    ]
    judgments = [Judgment("q", "gold", 2), Judgment("q", "graded", 1), Judgment("q", "c", 0)]
    candidates = [Candidates("q", "gold", ("far", "graded", "copy", "c"))]
    return make_collection("toy", passages, [Query("q", "Does the moon orbit?")], judgments, candidates, **settings)


def test_copies_of_relevant_passages_and_the_query_itself_are_no_negatives():
    first, second = hard_negatives(toy(), 5).candidates
    assert first == Candidates("q", "gold", ("q", "b", "a", "c"))
    assert second.positive == "graded"
    assert second.negatives == first.negatives
    ignoring = hard_negatives(toy(ignore_identical_ids=True), 5)
    assert ignoring.candidates[0].negatives == ("b", "a", "c")
    assert ignoring.short == 2


def test_the_recipe_says_how():
    mined = hard_negatives(toy(), 3, pool=50)
    assert mined.how == "bm25"
    assert {k: mined.recipe[k] for k in ("n", "pool", "method", "k1", "b", "stop_words", "stemmer")} == {
        "n": 3,
        "pool": 50,
        "method": "lucene",
        "k1": 1.2,
        "b": 0.75,
        "stop_words": "english",
        "stemmer": None,
    }


def test_nothing_is_printed(capfd):
    hard_negatives(toy(), 3)
    assert capfd.readouterr() == ("", "")


def test_given_negatives_are_filtered_in_their_order():
    mined = hard_negatives(toy(), 4, how="given")
    assert mined.candidates == (Candidates("q", "gold", ("far", "c")), Candidates("q", "graded", ()))
    assert mined.short == 2
    bare = make_collection("bare", [Passage("p", "x")], [Query("q", "x")], [Judgment("q", "p")])
    with pytest.raises(
        CollectionError,
        match=r"bare: the collection has no hard negatives of its own.*\n  fix: mine hard negatives: how='bm25'",
    ):
        hard_negatives(bare, 4, how="given")


def test_ties_of_bm25_are_those_of_trec_eval():
    """Whoever evaluates BM25's scores with trec_eval finds every passage at our rank."""
    texts = {"b": "moon river", "a": "moon river", "é": "river moon", "d": "moon moon", "c": "stone"}
    passages = [Passage(name, text) for name, text in texts.items()]
    collection = make_collection("tied", passages, [Query("q", "moon")], [Judgment("q", "a")])
    ranked = list(bm25_ranking(collection)("q", 8))
    assert ranked == ["d", "é", "b", "a"]
    hits = [ir_measures.ScoredDoc("q", one, score) for one, score in bm25_by_hand(collection, "moon").items() if score]
    for place, wanted in enumerate(ranked, start=1):
        judged = [ir_measures.Qrel("q", wanted, 1)]
        (theirs,) = ir_measures.pytrec_eval.iter_calc([ir_measures.RR], judged, hits)
        assert theirs.value == pytest.approx(1 / place)


def test_a_run_is_followed_with_ties_by_id(tmp_path):
    run = {"q": [("c", 1.0), ("b", 2.0), ("gold", 3.0), ("a", 2.0), ("q", 2.5)], "other": [("unknown", 1.0)]}
    mined = hard_negatives(toy(), 3, how="run", run=run)
    assert mined.candidates[0].negatives == ("q", "b", "a"), "the greater id first, as trec_eval reads a run"
    path = tmp_path / "bm25.run"
    path.write_text("".join(f"{q} Q0 {p} 0 {s} t\n" for q, ranked in run.items() for p, s in ranked))
    from_file = hard_negatives(toy(), 3, how="run", run=path)
    assert from_file.candidates == mined.candidates
    assert from_file.recipe["run"] == str(path)
    assert hard_negatives(toy(), 3, how="run", run={}).short == 2
    with pytest.raises(CollectionError, match=r"run ranks passages that are not in the collection(.|\n)*'lost'"):
        hard_negatives(toy(), 3, how="run", run={"q": [("lost", 1.0)]})


def test_requests_that_cannot_be_met():
    with pytest.raises(SettingsError, match="n must be at least 1, got 0"):
        hard_negatives(toy(), 0)
    with pytest.raises(SettingsError, match=r"unknown way to find hard negatives 'bm2'\n  fix: did you mean 'bm25'"):
        hard_negatives(toy(), 1, how="bm2")
    with pytest.raises(SettingsError, match=r"how='run' needs a run, but run is None"):
        hard_negatives(toy(), 1, how="run")
    with pytest.raises(SettingsError, match=r"how='bm25' uses no run, but a run was given"):
        hard_negatives(toy(), 1, run={})


@given(text=st.text(st.characters(max_codepoint=0x2FFF)))
def test_the_words_are_bm25s_own_where_scripts_have_spaces(text):
    assert re.findall(TOKEN, text) == re.findall(r"(?u)\b\w\w+\b", text)


def test_chinese_is_read_by_character():
    assert re.findall(TOKEN, "2015年黑豹队 NASUWT是什么？") == ["2015", *"年黑豹队", "NASUWT", *"是什么"]


def test_a_query_of_unknown_words_and_a_corpus_of_stop_words_have_no_negatives():
    passages = [Passage("p", "the"), Passage("o", "of the")]
    c = make_collection(
        "toy", passages, [Query("q", "xylophone"), Query("r", "the")], [Judgment("q", "p"), Judgment("r", "p")]
    )
    assert [x.negatives for x in hard_negatives(c, 2).candidates] == [(), ()]
