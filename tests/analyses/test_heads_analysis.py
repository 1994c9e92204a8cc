"""The analysis of attention heads: planted heads are found, nothing else is, and a control fails."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analyses_one import context_of, measured, reported, subject_of
from planted_heads import COPYING, NAMES, make_copying, make_names
from retroscope.analyses.context import Context
from retroscope.analyses.heads import ANALYSIS
from retroscope.analyses.heads.result import HeadResult
from retroscope.analyses.heads.settings import HeadSettings
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Section
from retroscope.attribution.heads import margins
from retroscope.errors import SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.statements import State
from tiny_study import QUICK, Tiny

STUDY = StudySettings(measures=("RR@10",), statistics=ComparisonSettings(resamples=200, permutations=200))
SETTINGS = HeadSettings(limit=0, top=1, sample=3, draws=3, subjects={f"q{i}": name for i, name in enumerate(NAMES)})
PLANTED = ".".join(map(str, COPYING))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A pair of which one copies the subject and the other does not."""
    home = tmp_path_factory.mktemp("copying")
    models = {"before": make_copying(home / "blind", copies=False), "after": make_copying(home / "copying")}
    return Context(models, make_names(), STUDY, home / "cache")


@pytest.fixture(scope="module")
def planted(context: Context, tmp_path_factory: pytest.TempPathFactory) -> tuple[Measurement, HeadResult, Section]:
    measurement = measured(ANALYSIS, context, SETTINGS, tmp_path_factory.mktemp("m") / "heads")
    return (measurement, *reported(ANALYSIS, [measurement], subject_of(context)))


def test_the_planted_head_carries_the_margin_and_no_other(planted: tuple[Measurement, HeadResult, Section]) -> None:
    _, result, section = planted
    after = result.sides["after"]
    assert after.top == (PLANTED,)
    assert after.carrying["head"].tolist() == [PLANTED]
    others = after.table[after.table["head"] != PLANTED]
    assert others["effect"].abs().max() < 0.01 * after.carrying["effect"].abs().max()
    assert (others["p_corrected"] > 0.05).all() or others["effect"].abs().max() < 1e-3
    assert after.errors["all"].correlation > 0.95
    states = {s.code: s.state for s in section.statements}
    assert states["carry.after"] == State.SIGNIFICANT
    assert states["change"] == State.SIGNIFICANT


def test_no_head_carries_it_where_none_copies(planted: tuple[Measurement, HeadResult, Section]) -> None:
    """Control: the model without the copying head."""
    _, result, section = planted
    assert result.sides["before"].carrying.empty
    assert {s.code: s.state for s in section.statements}["carry.before"] == State.NOT_SIGNIFICANT


def test_retrieval_falls_without_it_and_not_without_random_heads(
    planted: tuple[Measurement, HeadResult, Section],
) -> None:
    _, result, section = planted
    (effect,) = result.sides["after"].sets
    assert effect.intact == 1
    assert effect.top < 0.5
    assert effect.lowest == 1
    assert effect.p_queries < 0.001
    assert effect.p_draws == pytest.approx(1 / 4)  # three equal draws: the exact probability, so nothing is claimed
    assert {s.code: s.state for s in section.statements}["retrieval.after"] == State.NOT_SIGNIFICANT


def test_it_attends_to_the_subject(planted: tuple[Measurement, HeadResult, Section]) -> None:
    measurement, result, _ = planted
    shares = measurement.frames["after/attention"]
    to_subject = shares.query("tower == 'query' and attending == 'pooled' and kind == 'subject'")
    place = (to_subject["layer"] == COPYING[0]) & (to_subject["head"] == COPYING[1])
    assert to_subject.loc[place, "share"].item() > 0.99
    assert to_subject.loc[~place, "share"].max() == pytest.approx(1 / 8)  # attends to all alike
    assert result.shift is not None
    table = result.shift.table.sel(head=PLANTED, kind="subject")
    assert float(table["effect"]) > 0.5
    assert float(table["p_corrected"]) < 0.001
    assert result.sides["after"].eager["gap"] <= result.sides["after"].eager["limit"]


def test_the_section_is_complete(planted: tuple[Measurement, HeadResult, Section]) -> None:
    _, _, section = planted
    assert {figure.name for figure in section.figures} == {"head_estimates", "head_errors"}
    assert {"heads_before", "head_retrieval_after", "head_change", "head_attention"} <= set(section.tables)
    assert [row["head"] for row in section.document["after"]["heads"] if row["carries"]] == [PLANTED]


def test_a_stopped_run_goes_on(context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Everything is in the cells of the first run: no head is fixed again."""
    instrument = ANALYSIS.instrument()
    first = instrument.measure(context, SETTINGS, instrument.plan(context, SETTINGS))
    monkeypatch.setattr(margins, "fixed_heads", None)
    monkeypatch.setattr("retroscope.analyses.heads.searches.fixed_heads", None)
    second = instrument.measure(context, SETTINGS, instrument.plan(context, SETTINGS))
    for name, scores in first.scores.items():
        np.testing.assert_array_equal(scores.values, second.scores[name].values)


def test_one_model_alone_is_reported(context: Context, tmp_path: Path) -> None:
    one = replace(context, models={"model": context.models["after"]})
    settings = replace(SETTINGS, attention=False, tower="query")
    measurement = measured(ANALYSIS, one, settings, tmp_path / "heads")
    from retroscope.analyses.section import Reading

    section = ANALYSIS.reporter().alone(measurement, Reading(subject_of(one)))
    assert [s.code for s in section.statements] == ["carry.model", "retrieval.model", "estimates.model"]
    assert section.statements[0].state == State.SIGNIFICANT


def test_a_trained_pair_is_measured(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    context = context_of(tiny, cache, replace(QUICK, measures=("RR@10",)))
    measurement = measured(ANALYSIS, context, HeadSettings(limit=40, top=2, sample=2, draws=2), tmp_path / "heads")
    result, section = reported(ANALYSIS, [measurement], subject_of(context))
    assert result.change is not None
    assert measurement.scores["after/exact"].values.sizes["query"] == 20
    assert not np.isnan(measurement.scores["after/exact"].values).any()
    assert all(s.text.endswith(".") for s in section.statements)


def test_a_wrong_tower_is_refused() -> None:
    with pytest.raises(SettingsError, match="tower"):
        HeadSettings(tower="querry")
