"""Several trainings of one retriever: retrieval and probes over trainings and queries together."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from analyses_one import context_of, measured, reported, subject_of
from retroscope.analyses import probes as probes_analysis
from retroscope.analyses import retrieval as retrieval_analysis
from retroscope.analyses.analysis import NoSettings
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval.result import RetrievalResult
from retroscope.analyses.section import Reading, Section
from retroscope.analyses.training_runs import ANALYSIS
from retroscope.analyses.training_runs.infer import over_trainings
from retroscope.analyses.training_runs.measure import INSTRUMENT
from retroscope.analyses.training_runs.result import TrainingsResult
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.pairing import distinct_names
from retroscope.inputs.settings import StudySettings
from retroscope.probing.settings import ProbeSettings
from retroscope.scores import Scores
from retroscope.statistics.resampling.clusters import clusters_of
from retroscope.statistics.resampling.crossed import crossed_mean, crossed_p
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.trainings import TRAINING, stack_trainings
from retroscope.typesetting.statements import State
from retroscope.typesetting.subject import Subject
from tiny_study import Tiny, further_trainings

PROBES = ProbeSettings(probes=("cosine", "passage_only"), controls=("none",), passages=(3,), seeds=2)
STUDY = StudySettings(
    measures=("RR@10", "R@10"),
    statistics=ComparisonSettings(resamples=200, permutations=200),
    analyses={"probes": PROBES},
)


@dataclass(frozen=True, eq=False)
class Study:
    """The retriever's own results, and what was measured and is said of other training runs."""

    subject: Subject
    results: Mapping[str, object]
    own: Mapping[str, Measurement]
    others: Measurement
    found: TrainingsResult
    section: Section


@pytest.fixture(scope="module")
def further(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Retriever, ...]:
    return further_trainings(tiny, tmp_path_factory.mktemp("trainings"))


@pytest.fixture(scope="module")
def context(tiny: Tiny, cache: Path, further: tuple[Retriever, ...]) -> Context:
    return replace(context_of(tiny, cache, STUDY), trainings=further)


@pytest.fixture(scope="module")
def trained(context: Context, tmp_path_factory: pytest.TempPathFactory) -> Study:
    home = tmp_path_factory.mktemp("measured")
    subject = replace(subject_of(context), trainings=3)
    own = {
        "retrieval": measured(retrieval_analysis.ANALYSIS, context, NoSettings(), home / "retrieval"),
        "probes": measured(probes_analysis.ANALYSIS, context, PROBES, home / "probes"),
    }
    results = {
        "retrieval": reported(retrieval_analysis.ANALYSIS, [own["retrieval"]], subject)[0],
        "probes": reported(probes_analysis.ANALYSIS, [own["probes"]], subject)[0],
    }
    others = measured(ANALYSIS, context, NoSettings(), home / "trainings")
    result, section = reported(ANALYSIS, [others], subject, results)
    return Study(subject, results, own, others, result, section)


def test_trainings_enter_retrieval_and_the_similarity_probe(trained: Study) -> None:
    found, own = trained.found, trained.results["retrieval"]
    assert isinstance(own, RetrievalResult)
    assert found.names == ("retriever", "training-1", "training-2")
    assert set(trained.others.scores) == {f"{k}/{name}" for k in (2, 3) for name in ("retrieval", "probes")}
    scores = (trained.own["retrieval"].scores["after"], *(trained.others.scores[f"{k}/retrieval"] for k in (2, 3)))
    for row in found.retrieval.to_dict(orient="records"):
        assert row["trainings"] == 3
        means = [float(one.mean().sel(measure=row["measure"])) for one in scores]
        assert row["after"] == pytest.approx(np.mean(means))
        assert row["ci_low"] < row["effect"] < row["ci_high"]
    first = found.each.table.sel(training="retriever")
    xr.testing.assert_allclose(first["effect"].drop_vars("training"), own.effect.table["effect"])
    assert float(found.each.table["effect"].sel(measure="RR@10").std()) > 0, "trainings differ"
    assert found.probing is not None
    assert set(found.probing["probe"]) == {"cosine"}, "passage_only is of one training"
    assert list(found.probing["layer"]) == [0, 1, 2]


def test_the_interval_is_that_of_trainings_and_queries(trained: Study) -> None:
    """Recomputed from the per-query scores; two trainings that differ are less certain than one."""
    before, after = trained.own["retrieval"].scores["before"], trained.found.each.after
    order = sorted(before.query_ids)
    change = (after.values - before.values).sel(query=order, measure="RR@10").transpose("training", "query").values
    row = trained.found.retrieval.set_index("measure").loc["RR@10"]
    expected = crossed_mean(change, 0.95, (-1, 1), clusters_of(before))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((float(expected.low), float(expected.high)))
    assert row["p"] == pytest.approx(crossed_p(change, clusters_of(before)))
    widths = []
    for n in (1, 2):
        one = crossed_mean(change[:n], 0.95, clusters=clusters_of(before))
        widths.append(float(one.high - one.low))
    assert widths[1] > widths[0]


def test_the_report_says_over_how_many_trainings(trained: Study) -> None:
    said = trained.section.statements
    assert {s.topic for s in said} == {"trainings"}
    assert said[0].text.startswith("Over 3 trainings and their queries together, ")
    assert "RR@10 (and its change) of each training: retriever " in said[0].text
    assert "training-2 " in said[0].text
    assert "the probe cosine (N = 3)" in said[1].text
    assert trained.section.tables["trainings"].caption == "Retrieval over 3 training runs"
    assert set(trained.section.tables) == {"trainings", "trainings_each", "trainings_probing"}
    assert trained.section.methods["Over trainings"]["trainings"] == 3
    document = json.loads(json.dumps(trained.section.document))
    assert document["names"] == ["retriever", "training-1", "training-2"]
    assert [row["measure"] for row in document["retrieval"]] == ["RR@10", "R@10"]
    assert len(document["each"]) == 6
    pd.testing.assert_frame_equal(trained.section.frames["trainings"], trained.found.retrieval)
    probing = trained.found.probing
    assert probing is not None
    pd.testing.assert_frame_equal(trained.section.frames["trainings_probing"], probing)


def test_without_probes_retrieval_alone_is_told(context: Context, trained: Study) -> None:
    own = {"retrieval": trained.results["retrieval"]}
    result, section = reported(ANALYSIS, [trained.others], trained.subject, own)
    assert result.probing is None
    assert len(section.statements) == 1
    assert section.document["probing"] == []
    for left_out in (None, replace(PROBES, probes=("passage_only",))):
        without = replace(context, settings=replace(STUDY, analyses={"probes": left_out}))
        assert INSTRUMENT.plan(without, NoSettings()).work is None


def test_one_training_has_nothing_to_measure(context: Context) -> None:
    alone = replace(context, trainings=())
    assert INSTRUMENT.refusal(alone, NoSettings()) == "no other training run was given"
    assert INSTRUMENT.refusal(context, NoSettings()) == ""
    assert ANALYSIS.optional_input, "its absence is no caveat"
    assert ANALYSIS.reporter().infer([], Reading(subject_of(context))) is None


def test_a_training_that_is_none_is_a_caveat(context: Context) -> None:
    named = distinct_names([context.models["after"]] * 2)
    again = replace(context, trainings=(named[1],), settings=replace(STUDY, analyses={"probes": None}))
    measurement = INSTRUMENT.measure(again, NoSettings(), INSTRUMENT.plan(again, NoSettings()))
    assert set(measurement.scores) == {"2/retrieval"}
    says = "retriever (2) has the same weights as retriever: it is not another training run"
    assert any(caveat.startswith(says) for caveat in measurement.caveats)


def test_names_that_occur_again_get_a_number(context: Context) -> None:
    named = distinct_names([context.models["after"]] * 3)
    assert [one.name for one in named] == ["retriever", "retriever (2)", "retriever (3)"]


def scores_of(values: np.ndarray, passages: Mapping[str, tuple[str, ...]] | None = None) -> tuple[Scores, Scores]:
    """Scores of a backbone at 0 and of trainings (training, query) on one measure."""
    ids = [f"q{i:03}" for i in range(values.shape[1])]
    names = [f"t{i}" for i in range(len(values))]
    zero = xr.DataArray(np.zeros((len(ids), 1)), {"query": ids, "measure": ["RR"]}, ["query", "measure"])
    wide = xr.DataArray(
        values.T[:, :, None], {"query": ids, TRAINING: names, "measure": ["RR"]}, ["query", TRAINING, "measure"]
    )
    shared = dict(passages or {})
    return Scores("retrieval", zero, passages=shared), Scores("trainings", wide, passages=shared)


def effects_of(values: np.ndarray, passages: Mapping[str, tuple[str, ...]] | None = None) -> pd.DataFrame:
    """Return the effects over trainings and queries of `scores_of`."""
    result = over_trainings(scores_of(values, passages), None, "RR", ComparisonSettings())
    assert result is not None
    return result.retrieval


def test_equal_trainings_give_the_interval_over_queries() -> None:
    """Without spread over trainings what is left is Student's interval over queries, however many trainings."""
    values = np.random.default_rng(0).normal(0.1, 0.2, 40)
    row = effects_of(np.stack([values] * 3)).iloc[0]
    half = stats.t.ppf(0.975, 39) * values.std(ddof=1) / np.sqrt(40)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((values.mean() - half, values.mean() + half))
    assert row["p"] == pytest.approx(float(stats.ttest_1samp(values, 0).pvalue), rel=1e-6)
    assert row["spread"] == 0


def test_queries_of_one_text_give_no_effect_over_trainings() -> None:
    one_text = [scores.with_texts(dict.fromkeys(scores.query_ids, 0)) for scores in scores_of(np.ones((2, 3)))]
    assert over_trainings((one_text[0], one_text[1]), None, "RR", ComparisonSettings(resamples=100)) is None


def test_passages_that_queries_share_widen_the_interval() -> None:
    """40 queries of 4 passages, each with an effect of its own: about 4 observations, not 40."""
    rng = np.random.default_rng(1)
    values = np.stack([np.repeat(rng.normal(0, 0.3, 4), 10) + rng.normal(0, 0.05, 40)] * 2)
    shared: Mapping[str, tuple[str, ...]] = {f"q{i:03}": (f"p{i // 10}",) for i in range(40)}
    widths = []
    for passages in (None, shared):
        row = effects_of(values, passages).iloc[0]
        widths.append(row["ci_high"] - row["ci_low"])
        assert (row["p"] < 0.05) == (row["ci_low"] > 0 or row["ci_high"] < 0), "interval and p agree"
    assert widths[1] > 1.5 * widths[0]


def test_a_warning_of_any_training_doubts_what_is_said_of_all(trained: Study) -> None:
    assert all(s.doubts == () for s in trained.section.statements)
    marked = {name: replace(s, warnings=("a weight was missing",)) if name[0] == "3" else s
              for name, s in trained.others.scores.items()}  # fmt: skip
    _, section = reported(ANALYSIS, [replace(trained.others, scores=marked)], trained.subject, trained.results)
    assert {s.doubts for s in section.statements} == {("training-2: a weight was missing",)}
    assert {s.state for s in section.statements} <= {State.SIGNIFICANT, State.NOT_SIGNIFICANT}


def test_the_scores_of_all_trainings_are_paired_by_query() -> None:
    ids = ["a", "b"]
    one, other = (
        Scores("s", xr.DataArray([[v], [w]], {"query": order, "measure": ["RR"]}, ["query", "measure"]))
        for v, w, order in ((1.0, 2.0, ids), (20.0, 10.0, ids[::-1]))
    )
    stacked = stack_trainings("all", [one, other], ["x", "y"]).values
    assert stacked.dims == ("query", TRAINING, "measure")
    assert stacked.sel(measure="RR", query="b").values.tolist() == [2.0, 20.0]
