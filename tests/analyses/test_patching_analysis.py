"""The analysis of activation patching: the planted head carries the name, and the blind model cannot give it."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analyses_one import context_of, measured, reported, subject_of
from planted_heads import COPYING, make_copying, make_names
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.patching import ANALYSIS
from retroscope.analyses.patching.result import PatchingResult
from retroscope.analyses.patching.settings import PatchingSettings
from retroscope.analyses.section import Reading, Section
from retroscope.attribution.patching.recovery import PatchingRun
from retroscope.encoders.loading import load_retriever
from retroscope.errors import SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.statements import State
from tiny_study import QUICK, Tiny
from toys import save_toy

STUDY = StudySettings(measures=("RR@10",), statistics=ComparisonSettings(resamples=200, permutations=200))
SETTINGS = PatchingSettings(limit=0)
PLANTED = f"head {COPYING[0]}.{COPYING[1]}"
Planted = tuple[Measurement, PatchingResult, Section]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A pair of which one copies the subject and the other does not."""
    home = tmp_path_factory.mktemp("copying")
    models = {"before": make_copying(home / "blind", copies=False), "after": make_copying(home / "copying")}
    return Context(models, make_names(), STUDY, home / "cache")


@pytest.fixture(scope="module")
def planted(context: Context, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    measurement = measured(ANALYSIS, context, SETTINGS, tmp_path_factory.mktemp("m") / "patching")
    return (measurement, *reported(ANALYSIS, [measurement], subject_of(context)))


def test_the_planted_head_alone_carries_a_swapped_name(planted: Planted) -> None:
    measurement, result, section = planted
    table = result.sides["after"].table
    swapped = table[(table["corruption"] == "swapped") & (table["tokens"] == "rest")].set_index("component")
    assert swapped.loc[PLANTED, "share"] > 0.9
    assert set(swapped.index[swapped["carries"]]) == {PLANTED, "block 2"}
    changed = table[(table["corruption"] == "swapped") & (table["tokens"] == "changed")].set_index("component")
    assert set(changed.index[changed["carries"]]) == {"block 1"}
    (carried,) = [s for s in section.statements if s.code == "carry.after.swapped.rest"]
    assert carried.state == State.SIGNIFICANT
    share, _, _ = str(carried.estimate).partition(" of the lost margin recovered by")
    assert re.fullmatch(r"-?\d+ % \[-?\d+, -?\d+\]", share)
    assert f": {share}" in carried.text
    assert share in set(section.tables["patching_after"].frame["share"])
    texts = measurement.frames["corruptions"].query("kind == 'swapped'")
    assert len(texts) == 40
    assert (texts["clean"] != texts["corrupted"]).all()


def test_the_order_of_words_costs_nothing_and_has_no_share(planted: Planted) -> None:
    """Control: what takes nothing from the margin cannot be recovered."""
    _, result, section = planted
    after = result.sides["after"]
    order = after.totals.set_index("corruption").loc["order"]
    assert order["p"] > 0.05 or abs(order["clean_less_corrupted"]) < 1e-3
    assert after.table.query("corruption == 'order'")["share"].isna().all()
    assert not any("order" in s.code for s in section.statements if s.code.startswith("carry.after"))


def test_the_blind_model_gives_less_than_the_copying_one(planted: Planted) -> None:
    _, result, section = planted
    row = result.sides["after"].table.query("corruption == 'swapped' and tokens == 'rest'").set_index("component")
    assert row.loc[PLANTED, "other_less_own"] < 0
    assert row.loc[PLANTED, "p_other"] < 0.001
    assert {s.code: s.state for s in section.statements}["across.after"] == State.SIGNIFICANT


def test_what_the_exchange_of_models_does_is_not_what_an_activation_carries(planted: Planted) -> None:
    """Control: the blind model's activation recovers some of the margin on the corrupted query, too."""
    _, result, _ = planted
    row = result.sides["after"].table.query("corruption == 'swapped' and tokens == 'rest'").set_index("component")
    assert row.loc[PLANTED, "exchange_share"] > 0.05
    assert row.loc[PLANTED, "other_share"] == pytest.approx(0, abs=1e-3)
    assert not row.loc[PLANTED, "other_carries"]


def test_a_donor_that_copies_as_the_receiver_does_carries_as_much(context: Context, tmp_path: Path) -> None:
    alike = replace(context, models={"before": context.models["after"], "after": context.models["after"]})
    settings = PatchingSettings(corruptions=("swapped",), components=("head",), tokens=("rest",), limit=0)
    measurement = measured(ANALYSIS, alike, settings, tmp_path / "patching")
    result, _ = reported(ANALYSIS, [measurement], subject_of(alike))
    row = result.sides["after"].table.set_index("component").loc[PLANTED]
    assert row["other_share"] == pytest.approx(row["share"], abs=1e-4)
    assert row["exchange_share"] == pytest.approx(0, abs=1e-4)
    assert row["other_carries"]


def test_random_changes_of_equal_size_recover_little(planted: Planted) -> None:
    _, result, _ = planted
    random = result.sides["after"].random.query("donor == 'copying'").set_index(["corruption", "tokens"])
    assert random.loc[("swapped", "rest"), "largest"] < 0.2
    assert abs(random.loc[("swapped", "rest"), "share"]) < 0.05


def test_in_the_blind_model_nothing_carries_anything(planted: Planted) -> None:
    """Control: a receiver in which no head copies."""
    _, result, _ = planted
    before = result.sides["before"].table
    assert not before.loc[before["kind"] == "head", "carries"].any()


def test_the_section_is_complete(planted: Planted) -> None:
    _, _, section = planted
    assert [figure.name for figure in section.figures] == ["patching"]
    assert section.figures[0].specification
    assert {"patching_after", "patching_totals_before"} <= set(section.tables)
    assert any(row["component"] == PLANTED and row["carries"] for row in section.document["after"]["patches"])


def test_a_stopped_run_goes_on(context: Context, planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:

    def never(run: PatchingRun, tokens: str, donor: str) -> None:
        raise AssertionError(f"{tokens} from {donor} is patched again")

    monkeypatch.setattr(PatchingRun, "recovered", never)
    instrument = ANALYSIS.instrument()
    again = instrument.measure(context, SETTINGS, instrument.plan(context, SETTINGS))
    first, second = (one.scores["after/recovered"].values for one in (planted[0], again))
    np.testing.assert_array_equal(first, second)


def test_one_model_alone_is_reported(context: Context, tmp_path: Path) -> None:
    one = replace(context, models={"model": context.models["after"]})
    settings = PatchingSettings(corruptions=("swapped",), components=("head",), tokens=("rest",), limit=0)
    measurement = measured(ANALYSIS, one, settings, tmp_path / "patching")
    section = ANALYSIS.reporter().alone(measurement, Reading(subject_of(one)))
    assert [s.code for s in section.statements] == ["corrupted.model", "carry.model.swapped.rest", "random.model"]


def test_queries_that_share_a_negative_share_a_passage(planted: Planted) -> None:
    measurement, _, _ = planted
    relevant = make_names().relevant
    for name in ("total", "recovered"):
        scores = measurement.scores[f"after/{name}"]
        assert set(scores.passages) == set(scores.query_ids)
        for query, (positive, negative) in scores.passages.items():
            assert (positive,) == relevant[query]
            assert negative not in relevant[query]


def test_a_trained_pair_is_measured(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    context = context_of(tiny, cache, replace(QUICK, measures=("RR@10",)))
    measurement = measured(ANALYSIS, context, PatchingSettings(limit=30), tmp_path / "patching")
    result, section = reported(ANALYSIS, [measurement], subject_of(context))
    assert result.sides["before"].donor == result.sides["after"].name
    assert all(s.text.endswith(".") for s in section.statements)


def test_other_shapes_and_names_are_refused(context: Context, tmp_path: Path) -> None:
    other = load_retriever(save_toy("bert", tmp_path / "toy"), pooling="cls")
    unlike = replace(context, models={"before": other, "after": context.models["after"]})
    assert "differ in their blocks, heads or dimensions" in ANALYSIS.instrument().refusal(unlike, SETTINGS)
    with pytest.raises(SettingsError, match="corruption"):
        PatchingSettings(corruptions=("swaped",))
    with pytest.raises(SettingsError, match="component"):
        PatchingSettings(components=())
