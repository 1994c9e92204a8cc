"""Every public function takes a path as a text, as a `Path`, or as any other object that names one."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import isclass, isfunction, signature
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import xarray as xr

import retroscope as rs
from retroscope.analyses import analyses
from retroscope.files.reading import PathLike
from retroscope.scores import load_scores
from retroscope.study.planning.plan import StudyPlan
from toys import TEXTS, save_toy

NONE_BUT_THE_REQUIRED = rs.StudySettings(
    measures=("RR@10",),
    statistics=rs.ComparisonSettings(resamples=100, permutations=100),
    analyses=dict.fromkeys(name for name, one in analyses().items() if not one.required),
)


class Named:
    """What names a path by the protocol of the standard library alone; as a text it says nothing of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class Place:
    """What the calls below read."""

    home: Path
    before: rs.Retriever
    after: rs.Retriever
    collection: rs.Collection
    study: rs.Study

    def plan(self, cache: Path) -> StudyPlan:
        pair = {"before": self.before, "after": self.after}
        return rs.plan_study(pair, [self.collection], NONE_BUT_THE_REQUIRED, cache=cache)

    def set(self) -> rs.StudySet:
        return rs.StudySet({self.after.name: self.study})


GIVEN: dict[str, Callable[[Path], PathLike]] = {"text": str, "Path": Path, "object": Named}
NEURONS = rs.AttributionSettings(target="norm", limit=2, quadrature="gauss:2")

SCORES = rs.Scores("x", xr.DataArray([1.0, 0.0], dims="query", coords={"query": ["q1", "q2"]}))

# Function -> a call of it with a path as `given` makes it; the folder `free` is empty.
Call = Callable[[Place, Callable[[Path], PathLike], Path], Any]
CALLS: dict[str, Call] = {
    "Scores.save": lambda at, given, free: SCORES.save(given(free / "x.zarr"), "group"),
    "Study.save": lambda at, given, free: at.study.save(given(free / "study")),
    "Study.report": lambda at, given, free: at.study.report(given(free / "study")),
    "Study.report_alone": lambda at, given, free: at.study.report_alone(given(free / "study")),
    "StudySet.overview": lambda at, given, free: at.set().overview(given(free)),
    "StudySet.report": lambda at, given, free: at.set().report(given(free / "set")),
    "StudySet.summary": lambda at, given, free: at.set().summary(given(free)),
    "StudySet.write_pages": lambda at, given, free: at.set().write_pages(given(free)),
    "attribute": lambda at, given, free: rs.attribute(at.after, at.collection, NEURONS, state=given(free / "state")),
    "cache_entries": lambda at, given, free: rs.cache_entries(given(at.home / "cache")),
    "clean_cache": lambda at, given, free: rs.clean_cache(given(at.home / "cache")),
    "compare": lambda at, given, free: rs.compare(
        at.before, at.after, at.collection, NONE_BUT_THE_REQUIRED, cache=given(at.home / "cache")
    ),
    "compare_all": lambda at, given, free: rs.compare_all(
        at.before, [at.after], at.collection, NONE_BUT_THE_REQUIRED, cache=given(at.home / "cache")
    ),
    "diff": lambda at, given, free: rs.diff(given(at.home / "before"), given(at.home / "after")),
    "hard_negatives": lambda at, given, free: rs.hard_negatives(
        at.collection, 1, how="run", run=given(at.home / "run.trec")
    ),
    "load_collection": lambda at, given, free: rs.load_collection(given(at.home / "pairs.jsonl")),
    "load_encoder": lambda at, given, free: rs.load_encoder(given(at.home / "after"), rs.LoadSettings(pooling="mean")),
    "load_retriever": lambda at, given, free: (
        rs.load_retriever(given(at.home / "after"), pooling="mean"),
        rs.load_retriever(query=given(at.home / "before"), passage=given(at.home / "after"), pooling="mean"),
    ),
    "load_set": lambda at, given, free: rs.load_set(given(at.home / "set")),
    "load_study": lambda at, given, free: rs.load_study(given(at.home / "study")),
    "plan_study": lambda at, given, free: rs.plan_study(
        {"before": at.before, "after": at.after}, [at.collection], NONE_BUT_THE_REQUIRED, cache=given(free)
    ),
    "repair_cache": lambda at, given, free: rs.repair_cache(given(at.home / "cache")),
    "represent": lambda at, given, free: rs.represent(at.after, at.collection, given(at.home / "cache")),
    "run_study": lambda at, given, free: rs.run_study(at.plan(free / "cache"), out=given(free / "study")),
    "shrink_cache": lambda at, given, free: rs.shrink_cache(given(at.home / "cache"), 10**9),
    "verify_cache": lambda at, given, free: rs.verify_cache(given(at.home / "cache")),
}


def public_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in rs.__all__:
        value = getattr(rs, name)
        if not isclass(value):
            yield name, value
            continue
        members = {key: getattr(part, "__func__", part) for key, part in vars(value).items()}
        yield from (
            (f"{name}.{key}", part) for key, part in members.items() if isfunction(part) and not key.startswith("_")
        )


def parameters() -> Iterator[tuple[str, str, set[Any]]]:
    """Function, parameter, and the parts of its annotation."""
    for name, function in public_functions():
        hints = get_type_hints(function)
        for parameter in signature(function).parameters:
            yield name, parameter, {hints.get(parameter), *get_args(hints.get(parameter))}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    home = tmp_path_factory.mktemp("paths")
    before, after = (
        rs.load_retriever(save_toy("bert", home / name, seed), pooling="mean")
        for seed, name in enumerate(("before", "after"))
    )
    (home / "pairs.jsonl").write_text(
        "".join(f'{{"query": "{text[:12]}", "positive": "{text}"}}\n' for text in TEXTS), encoding="utf-8"
    )
    collection = rs.load_collection(home / "pairs.jsonl")
    lines = [f"{query} Q0 {passage} 1 1.0 x\n" for query in collection.queries for passage in collection.passages]
    (home / "run.trec").write_text("".join(lines), encoding="utf-8")
    study = rs.compare(before, after, collection, NONE_BUT_THE_REQUIRED, cache=home / "cache")
    made = Place(home, before, after, collection, study)
    study.save(home / "study")
    made.set().report(home / "set")
    return made


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("name", CALLS)
def test_a_path_may_be_given_as(place: Place, tmp_path: Path, name: str, given: str) -> None:
    before = sorted(path.name for path in Path().iterdir())
    CALLS[name](place, GIVEN[given], tmp_path)
    assert sorted(path.name for path in Path().iterdir()) == before, "a text was taken for a path of another name"


def test_every_function_with_a_path_is_called() -> None:
    assert {name for name, _, parts in parameters() if os.PathLike[str] in parts} == set(CALLS)


def test_no_function_wants_a_path_of_one_kind() -> None:
    assert [(name, parameter) for name, parameter, parts in parameters() if Path in parts] == []


def test_home_is_resolved(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place.home))
    assert rs.load_study("~/study").summary() == place.study.summary()


@pytest.mark.parametrize("wrong", [5, None, "a\0b"])
def test_what_names_no_path_is_refused(wrong: Any) -> None:
    with pytest.raises(rs.RetroscopeError, match="invalid path"):
        rs.load_study(wrong)


def test_scores_are_read_from_what_names_a_path(tmp_path: Path) -> None:
    SCORES.save(str(tmp_path / "x.zarr"), "group")
    assert load_scores(Named(tmp_path / "x.zarr"), "group").name == SCORES.name
