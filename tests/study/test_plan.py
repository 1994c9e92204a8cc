"""The plan says what will be measured: all of it, and nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import retroscope as rs
from retroscope.analyses import analyses
from retroscope.analyses.analysis import DEPTHS
from retroscope.errors import SettingsError
from retroscope.study.planning.depths import depth_values
from retroscope.study.planning.plan import StudyPlan
from toys import TEXTS, save_toy

Pair = Mapping[str, rs.Retriever]

SAID = "to measure: "
OPTIONAL = {name for name, one in analyses().items() if not one.required}
QUICK: dict[str, Any] = {
    "measures": ("RR@10",),
    "statistics": rs.ComparisonSettings(resamples=100, permutations=100),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    home = tmp_path_factory.mktemp("pair")
    return {
        name: rs.load_retriever(save_toy("bert", home / name, seed), pooling="mean")
        for seed, name in enumerate(("before", "after"))
    }


def small(name: str) -> rs.Collection:
    """Return a collection of a few texts, all of its own."""
    ids = range(len(TEXTS))
    return rs.make_collection(
        name,
        [rs.Passage(f"p{k}", f"{name} {TEXTS[k]}") for k in ids],
        [rs.Query(f"q{k}", f"{name} {TEXTS[k][:12]}") for k in ids],
        [rs.Judgment(f"q{k}", f"p{k}", 1) for k in ids],
    )


def named_in(plan: StudyPlan) -> list[str]:
    (line,) = [line for line in plan.lines() if line.startswith(SAID)]
    return line.removeprefix(SAID).split(", ")


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_plan_of_a_depth_names_what_it_measures(pair: Pair, tmp_path: Path, depth: str) -> None:
    values = depth_values(depth)
    plan = rs.plan_study(pair, [small("a")], rs.study_settings(values), cache=tmp_path)
    assert set(named_in(plan)) == {step["analysis"] for step in plan.document()["analyses"]}
    assert {"training_runs", "groups"} & set(named_in(plan)) == set(), "none was given, and there are no groups"
    left_out = {name for name, value in values.items() if value is None}
    on_request = {name for name, one in analyses().items() if one.on_request}
    assert set(named_in(plan)) & (left_out | on_request) == set()


def test_the_first_look_leaves_something_out() -> None:
    assert None in depth_values("glance").values()


def test_what_was_given_is_named_too(pair: Pair, tmp_path: Path) -> None:
    settings = rs.StudySettings(analyses=dict.fromkeys(OPTIONAL - {"training_runs", "weights"}), **QUICK)
    plan = rs.plan_study(pair, [small("a"), small("b")], settings, trainings=[pair["after"]], cache=tmp_path)
    assert sorted(named_in(plan)) == ["retrieval", "retrieval on b", "training_runs", "weights"]
    assert set(rs.run_study(plan).measured) == {"retrieval", "training_runs", "weights"}


def test_a_path_in_the_place_of_a_loaded_model_or_collection_is_refused(pair: Pair) -> None:
    before, after = pair.values()
    with pytest.raises(SettingsError, match=r"'beir:data/nq' is not a loaded collection") as refused:
        rs.compare(before, after, "beir:data/nq")  # type: ignore[arg-type]
    assert refused.value.fix == "load it first, with retroscope.load_collection(...)"
    with pytest.raises(SettingsError, match=r"'bert' is not a loaded model"):
        rs.compare("bert", after, small("toy"))  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"'e5' is not a loaded model"):
        rs.compare(before, after, small("toy"), trainings=["e5"])  # type: ignore[list-item]
