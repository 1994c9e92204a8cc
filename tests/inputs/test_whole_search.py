"""What intact models find in the whole corpus fills a sample, and says what the sample changes."""

from pathlib import Path

import pytest

from retroscope.analyses.context import Context
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.sampled import is_sampled, sampled
from retroscope.inputs.settings import StudySettings
from retroscope.inputs.whole_search import few_queries, sample_words, whole_search
from retroscope.representations.represent import represent
from retroscope.retrieval.retrieve import retrieve

MEASURES = ("RR@10", "nDCG@10")


def test_a_sample_with_the_first_ten_leaves_the_measures_as_they_are(
    planted: tuple[Retriever, Retriever], halves: Collection, tmp_path: Path
) -> None:
    """What a measure looks at is all there, so the intact model's is that of the whole corpus; at random it is not."""
    _, after = planted
    vectors = represent(after, halves, tmp_path)
    whole = whole_search(halves, {"after": vectors})
    assert len(whole.rankings) == 2, "the model's, and BM25's"
    few = list(halves.queries)[:12]
    changes = {}
    for name, rankings in (("ranks", whole.rankings), ("random", ())):
        small = sampled(halves, few, 90, 0, rankings)
        assert list(small.queries) == few
        made = represent(after, small, tmp_path / name)
        rows = whole.compared("after", retrieve(made, small, MEASURES).scores.values)
        assert [(row["model"], row["measure"], row["queries"]) for row in rows] == [("after", m, 12) for m in MEASURES]
        changes[name] = [row["sample"] - row["whole"] for row in rows]
        known = retrieve(vectors, halves, MEASURES).scores.values.sel(query=few).mean("query")
        assert [row["whole"] for row in rows] == pytest.approx(known.values)
    assert max(map(abs, changes["ranks"])) < min(changes["random"]), changes
    assert whole.compared("another", retrieve(made, small, MEASURES).scores.values) == []
    with pytest.raises(ValueError, match=r"the stored rankings have 100 passages for each query, but .* need 150"):
        whole.compared("after", retrieve(made, small, ("R@150",)).scores.values)
    deep = whole_search(halves, {"after": vectors}, 150)
    (row,) = deep.compared("after", retrieve(made, small, ("R@150",)).scores.values)
    assert row["whole"] == 1
    assert deep.rankings == whole.rankings, "samples are drawn from the same depth whatever is measured"


def test_a_context_searches_with_every_model_once(
    planted: tuple[Retriever, Retriever], halves: Collection, tmp_path: Path
) -> None:
    models = dict(zip(("before", "after"), planted, strict=True))
    context = Context(models, halves, StudySettings(measures=("RR@10",)), tmp_path)
    search = context.whole_search()
    assert set(search.runs) == {retriever.name for retriever in planted}
    assert context.whole_search(("nDCG@10",)) is search, "rankings of any measure that looks no deeper"
    assert context.whole_search(("R@150",)).depth == 150


def test_a_sample_is_drawn_of_a_larger_corpus_only(halves: Collection) -> None:
    assert [is_sampled(halves, size) for size in (0, len(halves.passages), 100)] == [False, False, True]


def test_words() -> None:
    row = {"model": "tuned", "measure": "RR@10", "sample": 0.61, "whole": 0.5, "queries": 80}
    (sentence,) = sample_words([row])
    assert sentence == "with the same queries, tuned reaches RR@10 0.610 on the sample and 0.500 on the whole corpus"


def test_queries_of_equal_text_count_once_among_too_few() -> None:
    def measured(n: int, texts: int) -> Collection:
        queries = [Query(f"q{i}", f"question {i % texts}") for i in range(n)]
        return make_collection("c", [Passage("p", "a passage")], queries, [Judgment(q.id, "p") for q in queries])

    assert few_queries(measured(50, 50)) == []
    assert few_queries(measured(30, 30), measured(50, 50)) == []
    assert "only 49 distinct queries are measured" in few_queries(measured(49, 49))[0]
    assert "only 20 distinct queries are measured" in few_queries(measured(60, 20))[0]
