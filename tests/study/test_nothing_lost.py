"""What a study must not lose: caveats, collections, finished folders, the results of stopped runs."""

import errno
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import retroscope.study.study as study_module
from retroscope.analyses import analyses
from retroscope.analyses.measurement import FACTS
from retroscope.analyses.section import Section
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.errors import AnalysisError, SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.probing.settings import ProbeSettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.planning.plan import plan_study
from retroscope.study.reporting.verdict import verdict
from retroscope.study.run import KEPT, compare, forget, run_study
from retroscope.study.study import load_study
from retroscope.typesetting.statements import State, Statement
from retroscope.typesetting.subject import Subject
from tiny_study import Tiny

NAMES = ("layers", "probes", "weights", "representations", "neurons", "transplants", "baselines", "training_runs")
PLAIN = StudySettings(
    measures=("RR@10",),
    random_weights=False,
    statistics=ComparisonSettings(resamples=200, permutations=200),
    analyses=dict.fromkeys(NAMES),
)


def with_only(**chosen: object) -> StudySettings:
    return replace(PLAIN, analyses={**PLAIN.analyses, **chosen})


def test_cut_texts_are_a_caveat_without_retrieval(tiny: Tiny, collection: Collection, tmp_path: Path) -> None:
    short = load_retriever(tiny.retriever, pooling="mean", max_length=10)
    probes = ProbeSettings(probes=("cosine",), controls=("none",), passages=(2,), seeds=1)
    settings = with_only(retrieval=None, probes=probes)
    study = run_study(plan_study({"model": short}, [collection], settings, cache=tmp_path))
    words = "passage texts fill the maximum of 10 tokens, so their ends may be cut"
    assert any(words in caveat for caveat in study.facts["caveats"])


def test_a_further_collection_never_stands_for_the_first(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path
) -> None:
    """Twelve queries are too few for drift: it is then measured on no collection, and that is said of both."""
    kept = set(collection.judged_queries[:12])
    few = replace(
        collection,
        name="few",
        queries={q: query for q, query in collection.queries.items() if q in kept},
        passages={**collection.passages, "more": replace(next(iter(collection.passages.values())), id="more")},
        judgments=tuple(j for j in collection.judgments if j.query_id in kept),
    )
    from retroscope.drift.settings import DriftSettings

    settings = with_only(representations=DriftSettings(texts=60, cross_texts=10))
    study = compare(backbone, retriever, few, settings, also=[collection], cache=tmp_path)
    assert "representations" not in study.measured
    assert len(study.measured["retrieval"]) == 2
    reasons = [caveat for caveat in study.facts["caveats"] if caveat.startswith("not measured: representations")]
    assert len(reasons) == 2
    assert "on the first collection" in reasons[1]


def test_what_a_command_is_for_is_an_error_where_it_cannot_be_measured(
    backbone: Retriever, collection: Collection, tmp_path: Path
) -> None:
    same = {"before": backbone, "after": replace(backbone, name="same")}
    from retroscope.analyses.transplants.settings import SweepSettings

    settings = with_only(transplants=SweepSettings())
    with pytest.raises(AnalysisError, match="the same weights"):
        plan_study(same, [collection], settings, asked=("transplants",), cache=tmp_path)


def test_trainings_without_a_pair_are_refused(retriever: Retriever, collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="1 other training runs are given, but no backbone and retriever"):
        plan_study({"model": retriever}, [collection], PLAIN, trainings=[retriever], cache=tmp_path)


def test_details_are_left_out_only_where_they_are_summed_up() -> None:
    detailed = Section(details=(Statement("transplants", State.MEASURED, "a detail", ()),))
    subject = Subject("test", {}, ())
    assert len(verdict({"transplants": detailed}, subject).statements) == 1
    assert len(verdict({"transplants": detailed, "retrieval": Section()}, subject).statements) == 1
    assert len(verdict({"transplants": detailed, "localisation": Section()}, subject).statements) == 0
    assert set(analyses()["localisation"].sums_up) <= set(analyses()["localisation"].needs)


def test_a_folder_is_finished_only_with_its_page(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = compare(backbone, retriever, collection, PLAIN, cache=tmp_path / "cache")
    assert list((tmp_path / "cache" / KEPT).iterdir()) == [], "the results are in memory"

    def stopped(*_: object, **__: object) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(study_module, "write_report", stopped)
        with pytest.raises(KeyboardInterrupt):
            study.report(tmp_path / "out")
    with pytest.raises(AnalysisError, match="this folder holds no study"):
        load_study(tmp_path / "out")
    study.report(tmp_path / "out")
    assert load_study(tmp_path / "out").summary() == study.summary()
    assert study.summary()["collections"][0]["counts"]["queries"] == 90


def test_a_study_of_an_analysis_that_is_not_installed_is_not_read_in_part(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path
) -> None:
    study = compare(backbone, retriever, collection, PLAIN, cache=tmp_path / "cache")
    more = replace(study, measured={**study.measured, "tokens": study.measured["retrieval"]})
    more.save(tmp_path / "out")
    with pytest.raises(AnalysisError, match="measured the analysis 'tokens', which no installed package declares"):
        load_study(tmp_path / "out")


def test_a_damaged_result_of_a_stopped_run_is_measured_again(
    backbone: Retriever,
    retriever: Retriever,
    collection: Collection,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plan = plan_study({"before": backbone, "after": retriever}, [collection], PLAIN, cache=tmp_path)
    whole = run_study(plan)
    (kept,) = (place for place in (tmp_path / KEPT).iterdir() if place.is_dir())
    (kept / FACTS).write_text(json.dumps({"schema": 99}))
    again = run_study(plan_study({"before": backbone, "after": retriever}, [collection], PLAIN, cache=tmp_path))
    assert again.summary()["analyses"] == whole.summary()["analyses"]
    assert (
        f"{kept / FACTS}: this file is damaged: its content does not match its checksum; it is computed again"
        in caplog.text
    )
    forget(plan)
    assert list((tmp_path / KEPT).iterdir()) == []


def test_a_read_only_cache_that_holds_all_is_enough(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, make_folder = tmp_path / "cache", tempfile.mkdtemp
    first = compare(backbone, retriever, collection, PLAIN, cache=cache)

    def refused(*words: Any, **named: Any) -> str:
        if str(named.get("dir", "")).startswith(str(cache)):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), named["dir"])
        return make_folder(*words, **named)

    monkeypatch.setattr(tempfile, "mkdtemp", refused)
    again = compare(backbone, retriever, collection, PLAIN, cache=cache)
    assert again.summary()["analyses"] == first.summary()["analyses"]
    with pytest.raises(OSError, match="Read-only file system"):
        compare(backbone, retriever, replace(collection, name="few", title_separator=" : "), PLAIN, cache=cache / "new")
