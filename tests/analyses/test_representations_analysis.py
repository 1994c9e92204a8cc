"""Drift of the representations: in words on made-up layers, and measured on pairs whose truth is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses_one import context_of, measured, reported, subject_of
from idle_decoder import idle_decoder
from retroscope.analyses.context import Context
from retroscope.analyses.representations import ANALYSIS
from retroscope.analyses.representations import measure as measuring
from retroscope.analyses.representations.figures import PANELS
from retroscope.analyses.representations.measure import TOO_MANY, refusal, whitened
from retroscope.analyses.representations.report import report
from retroscope.analyses.representations.result import CollectionDrift, RepresentationResult
from retroscope.analyses.retrieval.result import RetrievalResult
from retroscope.analyses.section import Section
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.drift.result import RepresentationDrift
from retroscope.drift.settings import DriftSettings
from retroscope.drift.statistics import similarity_measures
from retroscope.encoders.loading import load_retriever
from retroscope.errors import AnalysisError
from retroscope.files.documents import packed_json
from retroscope.inputs.settings import StudySettings
from retroscope.number_format import percent
from retroscope.representations.vectors import RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.retrieve import retrieve
from retroscope.statistics.resampling.jackknife import GROUPS
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.page import SectionPage, fill
from retroscope.typesetting.statements import State
from synthetic_drift import representation_drift, weight_drift
from synthetic_retrieval import retrieval_result, retrieval_scores
from synthetic_subject import compare, reading
from tiny_study import Tiny
from toys import save_toy

SETTINGS = StudySettings(measures=("RR@10", "R@10"), statistics=ComparisonSettings(resamples=200, permutations=200))
QUICK = DriftSettings(texts=60, cross_texts=20, neighbours=5)


def section_of(first: CollectionDrift, *others: CollectionDrift, retrieval: RetrievalResult | None = None) -> Section:
    results = {} if retrieval is None else {"retrieval": retrieval}
    return report(RepresentationResult((first, *others)), reading(results))


def texts(section: Section) -> list[str]:
    return [s.text for s in section.statements]


def test_where_vectors_diverge() -> None:
    section = section_of(CollectionDrift("toy", representation_drift()))
    assert any(
        text.startswith(
            "Query vectors before and after fine-tuning are most similar at layer 0 (CKA 1.000 [0.980, 1.000]) and "
            "least similar at layer 6 (post-norm) (CKA 0.400 [0.380, 0.420]). For comparison, CKA at layer 6 "
            "(post-norm) is 0.900 between two random halves of one model's vector dimensions and 0.200 between the "
            "backbone and a random-weight control. Procrustes similarity, which also depends on directions of small "
            "variance, is lowest at layer 6 (post-norm) (0.400 [0.380, 0.420]; 0.000 for texts paired at random, the "
            "chance level)."
        )
        for text in texts(section)
    )
    assert any(
        "The embedding space of passages at layer 6 (post-norm), estimated from 1,000 texts: the mean cosine of two "
        "texts is 0.600 [0.590, 0.610] before fine-tuning and 0.200 [0.190, 0.210] after" in text
        for text in texts(section)
    )
    assert [figure.name for figure in section.figures] == ["similarity", "layer_map", "geometry"]
    assert {s.state for s in section.statements} == {State.MEASURED}, "all of it is described, and not tested"


def test_without_a_control_none_is_reported() -> None:
    bare = texts(section_of(CollectionDrift("toy", representation_drift(random_weights=float("nan")))))
    assert not any("random-weight control" in text for text in bare)
    assert not any("another seed" in text for text in bare)
    ceiling = texts(section_of(CollectionDrift("toy", representation_drift(other_training=0.7))))
    assert any(
        "0.700 between the retriever and one trained with another seed (the ceiling)" in text for text in ceiling
    )


def test_geometry_alone() -> None:
    effect = compare(*retrieval_scores(gain=0.1, seed=3))
    drift = representation_drift()
    section = section_of(CollectionDrift("toy", drift, whitened=effect), retrieval=retrieval_result())
    (only,) = [s for s in section.statements if s.text.startswith("Whitening, which uses no query")]
    assert only.state == State.SIGNIFICANT
    assert "; fine-tuning, without whitening, changes it by +0." in only.text
    assert section.document[0]["whitened"]["RR"]["n"] == 240
    without = section_of(CollectionDrift("toy", drift), retrieval=retrieval_result())
    assert not any(text.startswith("Whitening, which uses no query") for text in texts(without))


def test_page_and_tables() -> None:
    effect = compare(*retrieval_scores(gain=0.1, seed=3))
    first = CollectionDrift("toy", representation_drift(), representation_drift(), effect)
    section = section_of(first, CollectionDrift("other", representation_drift()), retrieval=retrieval_result())
    page = in_page(section)
    for title in (
        "Do both models arrange texts alike?",
        "Which layers of both models correspond?",
        "Retrieval after whitening",
        "Layers without the final norm",
        "vectors of the same 240 queries and 1000 passages",
        "Su, Cao, Liu, Ou (2021)",
    ):
        assert title in page
    assert set(section.frames) == {"similarity", "geometry", "layer_map", "similarity_bare", "geometry_bare",
                                   "whitened", "similarity_2", "geometry_2"}  # fmt: skip
    assert set(section.tables) == {"whitened", "cka_by_collection"}
    assert [figure.name for figure in section.figures][3:] == ["similarity_bare", "geometry_bare"]


def in_page(section: Section) -> str:
    body = SectionPage(
        ANALYSIS.name, ANALYSIS.title, ANALYSIS.question, ANALYSIS.package, {**section.values, "section": section}
    )
    values = {"title": "toys", "drift": weight_drift(), "statements": (), "command": "", "versions": {}}
    return fill("diff.html.j2", section.figures, section.tables, values, (body,))


def test_another_collection_stands_beside_the_first() -> None:
    drift = representation_drift()
    further = replace(drift, similarity=drift.similarity.assign(value=0.5, low=0.4, high=0.6))
    section = section_of(CollectionDrift("toy", drift), CollectionDrift("other", further))
    assert texts(section)[-1] == (
        "CKA between both models at the last layer: query vectors 0.400 [0.380, 0.420] on toy, 0.500 [0.400, 0.600] on "
        "other; passage vectors 0.400 [0.380, 0.420] on toy, 0.500 [0.400, 0.600] on other."
    )
    table = section.tables["cka_by_collection"]
    assert list(table.frame.columns) == ["layer", "query, toy", "query, other", "passage, toy", "passage, other"]
    assert table.caption == "CKA before and after, on both collections"
    assert [one["collection"] for one in section.document] == ["toy", "other"]


def test_columns_that_are_missing_are_named() -> None:
    whole = representation_drift()
    with pytest.raises(
        AnalysisError, match=r"RepresentationDrift: the table 'similarity' lacks the columns random_weights\n"
    ):
        RepresentationDrift(whole.similarity.drop(columns="random_weights"), whole.geometry, whole.layer_map)


def test_representations_are_measured_kept_and_reported(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    context = context_of(tiny, cache, SETTINGS)
    context = replace(context, trainings=(replace(context.models["after"], name="another training"),))
    further = context.on(replace(context.collection, name="other"), first=False)
    measurements = [measured(ANALYSIS, one, QUICK, tmp_path / one.collection.name) for one in (context, further)]
    result, section = reported(ANALYSIS, measurements, subject_of(context))
    here, there = (one.drift.similarity for one in result.by_collection)
    assert here["random_weights"].notna().any()
    same = here.loc[here["statistic"] == "cka", "other_training"]
    np.testing.assert_allclose(same, 1, atol=1e-5, err_msg="a training with the same weights is as alike as can be")
    assert there["other_training"].isna().all()
    assert there["random_weights"].isna().all(), "controls are of the first collection alone"
    columns = ["other_training", "random_weights"]
    pd.testing.assert_frame_equal(here.drop(columns=columns), there.drop(columns=columns))
    assert result.first.drift.texts == {"query": 60, "passage": 60}
    check_map(result, section)
    assert result.by_collection[1].whitened is None
    assert measurements[0].caveats == ()
    assert set(measurements[0].scores) == {"before/whitened", "after/whitened"}
    assert result.first.whitened.table["p_corrected"].notnull().all()
    assert section.document[1]["without_final_norm"] is None
    assert section.differences == {"Whitened": result.first.whitened}


def check_map(result: RepresentationResult, section: Section) -> None:
    """The map has both sides of a sample, its loss in words, and is small; further collections have none."""
    found = result.first.text_map
    assert found is not None
    assert found.places["kind"].value_counts().to_dict() == {"other": 140, "query": 40, "relevant": 40}
    assert set(found.links["query_id"]) <= set(found.places["text_id"])
    assert result.by_collection[1].text_map is None
    figure = next(one for one in section.figures if one.name == "text_map")
    kept = percent(found.loss["variance_after"])
    assert f"and {kept} after. The correlation of distances" in figure.caption
    assert len(packed_json(figure.specification)) < 100_000


def test_passages_that_are_too_many_are_not_whitened(
    tiny: Tiny, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "can_be_whitened", lambda passages, dim: False)
    context = context_of(tiny, cache, SETTINGS)
    measurement = measured(ANALYSIS, context, QUICK, tmp_path / "many")
    assert measurement.caveats == (TOO_MANY,)
    result, section = reported(ANALYSIS, [measurement], subject_of(context))
    assert result.first.whitened is None
    assert section.tables == {}


def test_whitening_uncovers_what_loud_directions_hide(halves: Collection) -> None:
    rng = np.random.default_rng(0)
    vectors = _vectors(rng, halves, scale=np.r_[np.full(2, 50.0), np.ones(14)])
    raw = retrieve(vectors, halves, ("RR@10",)).scores.values.mean()
    even = whitened(vectors, halves, ("RR@10",))
    assert even is not None
    assert float(even.values.mean()) > float(raw) + 0.2
    assert even.recipe["retriever"]["whitened"] == "by mean and covariance of the passages"


def _vectors(rng: np.random.Generator, collection: Collection, scale: np.ndarray) -> RetrieverRepresentations:
    """Loud directions hide what a query shares with its passage."""
    meaning = rng.standard_normal((len(collection.passages), len(scale)))
    loud = np.where(scale > 1, rng.standard_normal(meaning.shape), 0.2 * rng.standard_normal(meaning.shape))
    queries = (np.where(scale > 1, 0, meaning) + loud) * scale
    query, passage = [
        representations_in_memory(list(ids), found[:, None].astype(np.float32))
        for ids, found in ((collection.queries, queries), (collection.passages, meaning * scale))
    ]
    return RetrieverRepresentations("toy", query, passage, "cosine", {})


def test_too_few_texts_and_models_of_two_families_are_refused(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    context = context_of(tiny, cache, SETTINGS)
    needed = 2 * GROUPS
    assert refusal(replace(context, collection=few(needed)), QUICK) == ""
    reason = f"{needed - 5} distinct query texts are too few for confidence intervals ({needed} are needed)"
    assert refusal(replace(context, collection=few(needed - 5)), QUICK) == reason
    again = few(3 * needed, texts=needed - 5)
    assert refusal(replace(context, collection=again), QUICK) == reason, "many queries of few texts"
    other = load_retriever(save_toy("roberta", tmp_path / "other"), pooling="mean")
    pair = replace(context, models={**context.models, "after": other})
    assert "of 2 blocks, the other a roberta" in refusal(pair, QUICK)
    alone = Context({"model": context.models["after"]}, context.collection, SETTINGS, cache)
    assert refusal(alone, QUICK) == "representations are compared between two models, but only one model is given"


def few(n: int, texts: int = 0) -> Collection:
    """As many queries, of which texts repeat but for spaces and case."""
    passages = [Passage(f"p{i}", f"passage {i}") for i in range(200)]
    queries = [
        Query(f"q{i}", f"{'Question' if i % 2 else 'question'}{' ' * (1 + i // (texts or n))}{i % (texts or n)}")
        for i in range(n)
    ]
    return make_collection("few", passages, queries, [Judgment(f"q{i}", f"p{i}") for i in range(n)])


def test_layers_are_compared_with_the_final_norm_on_each_and_as_the_blocks_leave_them(
    halves: Collection, cache: Path, tmp_path: Path
) -> None:
    models = {"before": idle_decoder(tmp_path / "a", 0, "one"), "after": idle_decoder(tmp_path / "b", 1, "two")}
    context = Context(models, halves, SETTINGS, cache)
    measurement = measured(ANALYSIS, context, QUICK, tmp_path / "representations")
    result, section = reported(ANALYSIS, [measurement], subject_of(context))
    place = ["tower", "statistic", "layer"]
    assert result.first.bare is not None
    normed, bare = (drift.similarity.set_index(place)["value"] for drift in (result.first.drift, result.first.bare))
    assert normed["passage", "cka", 0] == pytest.approx(normed["passage", "cka", 2], abs=1e-4)
    assert bare["passage", "cka", 2] == pytest.approx(normed["passage", "cka", 2], abs=1e-6)
    assert bare["passage", "cka", 0] != pytest.approx(bare["passage", "cka", 2], abs=1e-2)
    assert {figure.name for figure in section.figures} >= {"similarity_bare", "geometry_bare"}
    without = section.document[0]["without_final_norm"]
    assert len(without["similarity"]) == len(section.document[0]["similarity"])


def test_every_similarity_has_a_panel() -> None:
    x = np.random.default_rng(0).normal(size=(8, 3))
    assert set(PANELS) == set(similarity_measures(x, x, neighbours=2, seed=0))
