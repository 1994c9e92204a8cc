"""How large a study is: three depths, and the sizes that fit into a time."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from retroscope.analyses import analyses
from retroscope.analyses.analysis import DEPTHS, STANDARD, AnalysisSize
from retroscope.cli.resolve import resolve
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.errors import SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.inputs.settings_files import flattened
from retroscope.study.outcome import Runnable
from retroscope.study.planning.depths import depth_values, with_precision
from retroscope.study.planning.plan import StudyPlan, plan_study
from retroscope.study.planning.sizes import Bought, as_stored, fit
from retroscope.study.record import recorded_facts
from retroscope.study.settings import as_values
from tiny_study import QUICK

SIZED = [name for name, one in analyses().items() if len(one.sizes) > 1 and not one.on_request]
Planner = Callable[[StudySettings], StudyPlan]


@pytest.fixture
def planned(backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path) -> Planner:
    """Plan a study of the tiny pair."""
    pair = {"before": backbone, "after": retriever}
    return lambda settings: plan_study(pair, [collection], settings, cache=tmp_path / "cache")


@pytest.mark.parametrize("name", analyses())
def test_sizes_rise_and_hold_the_defaults(name: str) -> None:
    sizes = analyses()[name].sizes
    widths = [size.half_width for size in sizes]
    assert widths == sorted(widths, reverse=True)
    assert STANDARD in sizes
    assert all(size.values != {} for size in sizes if size.half_width != 1)


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_depth_changes_defaults_and_nothing_that_was_given(depth: str) -> None:
    whole = resolve({}, None, None, unless_given=depth_values(depth))
    assert (whole == resolve({}, None, None)) == (depth == "standard")
    given = resolve({}, None, ["probes.seeds=4", "transplants.passages=77"], unless_given=depth_values(depth))
    assert given.analyses["probes"].seeds == 4
    assert given.analyses["transplants"].passages == 77


def test_a_glance_leaves_out_interventions() -> None:
    values = depth_values("glance")
    assert {name for name, one in values.items() if one is None} == {"neurons", "transplants"}
    with pytest.raises(SettingsError, match="unknown depth 'deep'"):
        depth_values("deep")


PRECISIONS = ("neurons.ablation.precision", "transplants.precision")


def test_a_precision_changes_interventions_and_switches_nothing_on() -> None:
    before = resolve({}, None, None)
    after = with_precision(before, "bfloat16")
    flat = [flattened(as_values(settings)) for settings in (before, after)]
    assert flat[0].keys() == flat[1].keys()
    assert {name for name in flat[0] if flat[0][name] != flat[1][name]} == set(PRECISIONS)
    kept = flattened(as_values(with_precision(before, "bfloat16", fixed=PRECISIONS[:1])))
    assert [kept[name] for name in PRECISIONS] == ["float32", "bfloat16"]


@pytest.mark.parametrize(
    ("assignments", "reached"),
    [
        (["transplants=null"], {PRECISIONS[0]}),
        (["neurons=null"], {PRECISIONS[1]}),
        (["neurons.ablation=null"], {PRECISIONS[1]}),
        (["neurons=null", "transplants=null"], set()),
        (["neurons.ablation=null", "transplants=null"], set()),
    ],
)
def test_a_precision_reaches_what_is_measured(assignments: list[str], reached: set[str]) -> None:
    settings = resolve({}, None, assignments)
    if not reached:
        with pytest.raises(SettingsError, match="--precision bfloat16 has no effect: no intervention of "):
            with_precision(settings, "bfloat16")
        return
    flat = flattened(as_values(with_precision(settings, "bfloat16")))
    assert {name for name in PRECISIONS if flat.get(name) == "bfloat16"} == reached


def test_a_precision_that_is_overridden_everywhere_is_refused() -> None:
    with pytest.raises(SettingsError, match="--precision bfloat16 has no effect"):
        with_precision(resolve({}, None, None), "bfloat16", fixed=PRECISIONS)


def test_more_time_buys_larger_sizes_and_never_more_than_there_is(planned: Planner) -> None:
    plan = planned(QUICK)
    fixed = sum(plan.seconds.values()) - sum(
        step.planned.seconds for step in plan.steps if step.planned and step.analysis.name in SIZED
    )
    widths = []
    for seconds in (fixed + 0.01, 2 * fixed + 10, 4 * fixed + 60, math.inf):
        fitted = fit(plan, seconds)
        assert fixed + sum(one.seconds for one in fitted.bought) <= seconds
        widths.append([one.size.half_width for one in fitted.bought])
    assert [one.analysis for one in fit(plan, math.inf).bought] == [n for n in analyses() if n in SIZED]
    for less, more in pairwise(widths):
        assert math.prod(more) <= math.prod(less)
    assert widths[-1] == [analyses()[name].sizes[-1].half_width for name in analyses() if name in SIZED]


def test_what_the_user_named_keeps_its_size(planned: Planner) -> None:
    plan = planned(QUICK)
    fitted = fit(plan, math.inf, given=("transplants",))
    assert fitted.settings.analyses["transplants"] == plan.settings.analyses["transplants"]
    assert "transplants" not in {one.analysis for one in fitted.bought}


def test_a_time_that_does_not_suffice_for_encoding_is_refused(planned: Planner) -> None:
    with pytest.raises(SettingsError, match=r"is too short: the stages that cannot be shortened take .*\(.*\)"):
        fit(planned(QUICK), 1e-6)


def test_a_time_that_is_too_short_is_told_with_what_takes_it_and_what_can_be_left_out(planned: Planner) -> None:
    plan = planned(QUICK)
    slow = replace(plan, steps=tuple(
        replace(step, planned=replace(step.planned, seconds=600.0))
        if step.planned and step.analysis.name in ("layers", "retrieval") else step
        for step in plan.steps
    ))  # fmt: skip
    with pytest.raises(SettingsError) as told:
        fit(slow, 60.0)
    assert "(retrieval 10 min, layers 10 min)" in str(told.value)
    assert "fix: give more time, leave out layers (--no-layers), or a collection of fewer passages" in str(told.value)


def test_the_choice_is_said_and_its_settings_are_of_the_plan(planned: Planner) -> None:
    runnable = Runnable(planned(QUICK)).within(math.inf, (), None)
    assert "the largest sample sizes:" in runnable.lines()
    assert runnable.plan.settings == fit(planned(QUICK), math.inf).settings
    assert (
        Bought("probes", AnalysisSize(None), 0.0).line()
        == "  probes: left out, since even its smallest size does not fit"
    )


def test_what_did_not_fit_is_known_to_the_study(planned: Planner) -> None:
    plan = planned(QUICK)
    fixed = sum(plan.seconds.values()) - sum(
        step.planned.seconds for step in plan.steps if step.planned and step.analysis.name in SIZED
    )
    short = Runnable(plan).within(fixed + 0.01, (), None).plan
    assert set(short.too_long) == {name for name, one in short.settings.analyses.items()
                                   if one is None and plan.settings.analyses[name] is not None} != set()  # fmt: skip
    assert recorded_facts(short, {}, None)["too_long"] == list(short.too_long)
    assert "too_long" not in recorded_facts(plan, {}, None)


def test_an_unfinished_study_keeps_the_sizes_it_began_with(planned: Planner, tmp_path: Path) -> None:
    small = replace(QUICK, analyses={**QUICK.analyses, "neurons": None, "baselines": None})
    plan = planned(small)
    out = tmp_path / "out"
    next(Runnable(plan).run(lambda *_: None)).write(out)
    larger = fit(plan, math.inf).settings
    assert larger != plan.settings
    assert as_stored(larger, out) == plan.settings
    assert as_stored(replace(larger, measures=("RR@10",)), out) is None, "another study"
    assert as_stored(larger, tmp_path / "empty") is None
    assert as_stored(with_precision(larger, "bfloat16"), out) is None, "another precision is no sample size"
    assert as_stored(larger, out, given=("transplants",)) is None, "the user asked for other transplants"
    kept = Runnable(plan).within(math.inf, (), out)
    assert kept.plan.settings == plan.settings
    assert f"sample sizes of the study in {out}" in kept.lines()
