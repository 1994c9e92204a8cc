"""Retrieval: measured, kept, tested, told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analyses_one import context_of, measured, reported, subject_of
from retroscope.analyses.analysis import NoSettings
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval import ANALYSIS
from retroscope.analyses.retrieval.measure import INSTRUMENT
from retroscope.analyses.section import Reading
from retroscope.errors import SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.statistics.settings import ComparisonSettings
from tiny_study import Tiny

OTHER_MEASURES = ("other_measures", "other_collection_measures")
SETTINGS = StudySettings(measures=("RR@10", "R@10"), statistics=ComparisonSettings(resamples=200, permutations=200))


@pytest.fixture(scope="module")
def searched(tiny: Tiny, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    folder = tmp_path_factory.mktemp("retrieval") / "0"
    context = context_of(tiny, cache, SETTINGS)
    loaded = measured(ANALYSIS, context, NoSettings(), folder)
    assert {path.name for path in folder.glob("*.run")} == {"before.run", "after.run"}
    return loaded


def test_the_effect_is_that_of_the_scores(tiny: Tiny, cache: Path, searched: Measurement) -> None:
    context = context_of(tiny, cache, SETTINGS)
    result, section = reported(ANALYSIS, [searched], subject_of(context))
    for side in ("before", "after"):
        np.testing.assert_allclose(result.effect.table[side], searched.scores[side].mean())
        assert searched.scores[side].values.sizes["query"] == len(context.collection.judged_queries)
    (first,) = section.document
    record = first["measures"]["RR@10"]
    assert list(first["measures"]) == ["RR@10", "R@10"]
    assert first["collection"] == context.collection.name
    assert record["difference"]["mean"] == pytest.approx(record["after"]["mean"] - record["before"]["mean"])
    assert record["difference"]["ci_low"] > 0, "fine-tuning is found"
    assert record["difference"]["p_corrected"] < 0.01
    assert set(record["before"]) == {"mean", "ci_low", "ci_high"}
    assert section.statements[0].headline
    assert section.statements[0].text.startswith("Fine-tuning raised RR@10 from ")
    assert list(section.tables) == ["retrieval", "flips"]


def test_every_query_is_stored_with_what_was_found(tiny: Tiny, cache: Path, searched: Measurement) -> None:
    context = context_of(tiny, cache, SETTINGS)
    collection, planned = context.collection, INSTRUMENT.plan(context, NoSettings())
    fresh = INSTRUMENT.measure(context, NoSettings(), planned)
    queries, hits, passages = (searched.frames[name] for name in ("queries", "hits", "passages"))
    assert all(fresh.frames[name].equals(searched.frames[name]) for name in ("queries", "hits", "passages"))
    assert list(queries["query_id"]) == list(collection.judged_queries)
    assert all(collection.queries[q].text == text for q, text in zip(queries["query_id"], queries["text"], strict=True))
    reciprocal = {side: searched.scores[side].values.sel(measure="RR@10") for side in ("before", "after")}
    for side, scores in reciprocal.items():
        for q, rank in zip(queries["query_id"], queries[f"rank_{side}"], strict=True):
            assert float(scores.sel(query=q)) == pytest.approx(1 / rank if 0 < rank <= 10 else 0)
    for (q, side), ranking in hits.groupby(["query_id", "side"]):
        assert list(ranking["passage_id"]) == [p for p, _ in fresh.runs[side][q][:10]]
        assert list(ranking["relevant"]) == [p in collection.qrels[q] for p in ranking["passage_id"]]
    assert set(passages["passage_id"]) == set(hits["passage_id"])


def test_another_collection_has_a_statement_and_a_table_of_its_own(
    tiny: Tiny, cache: Path, searched: Measurement
) -> None:
    context = context_of(tiny, cache, SETTINGS)
    other = context.on(replace(context.collection, name="other"), first=False)
    again = INSTRUMENT.measure(other, NoSettings(), INSTRUMENT.plan(other, NoSettings()))
    assert again.frames["queries"].equals(searched.frames["queries"]), "queries of every collection are stored"
    result, section = reported(ANALYSIS, [searched, replace(again, collection="other")], subject_of(context))
    assert [one.collection for one in result.by_collection] == [context.collection.name, "other"]
    (statement,) = [s for s in section.statements if s.text.startswith("On other: ")]
    of_first, of_other = ([s for s in section.statements if s.code == c] for c in OTHER_MEASURES)
    assert of_first
    assert [f"On other, o{s.text[1:]}" for s in of_first] == [s.text for s in of_other]
    assert statement.text == f"On other: {section.statements[0].text.split(' Of ')[0]}"
    assert not statement.headline
    assert section.tables["retrieval_2"].caption == "Retrieval on other"
    assert section.values["other_collections"] == ("retrieval_2",)
    assert set(section.frames) == {"retrieval", "retrieval_2", "flips"}
    assert list(section.differences) == ["Retrieval", "Retrieval, other"]


def test_a_measure_that_cannot_be_computed_is_refused_before_anything_is_encoded(tiny: Tiny, tmp_path: Path) -> None:
    context = context_of(tiny, tmp_path / "cache", replace(SETTINGS, measures=("ERR@10",)))
    with pytest.raises(SettingsError, match="these measures cannot be computed with the judgments of the collection"):
        INSTRUMENT.plan(context, NoSettings())
    assert not (tmp_path / "cache").exists()


def test_one_model_has_means_with_intervals(tiny: Tiny, cache: Path) -> None:
    pair = context_of(tiny, cache, SETTINGS)
    context = replace(pair, models={"model": pair.models["after"]})
    measurement = INSTRUMENT.measure(context, NoSettings(), INSTRUMENT.plan(context, NoSettings()))
    reporter = ANALYSIS.reporter()
    assert reporter.alone is not None
    document = reporter.alone(measurement, Reading(subject_of(context))).document
    assert list(document["measures"]) == ["RR@10", "R@10"]
    mean = float(measurement.scores["model"].mean().sel(measure="RR@10"))
    assert document["measures"]["RR@10"]["mean"] == pytest.approx(mean)
    assert document["measures"]["RR@10"]["ci_low"] <= mean <= document["measures"]["RR@10"]["ci_high"]
