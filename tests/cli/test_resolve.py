"""From options, file and assignments to settings: protocol < command < file < options < --set."""

from pathlib import Path

import pytest

from retroscope.cli import options as o
from retroscope.cli.resolve import resolve
from retroscope.errors import SettingsError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(
        "after: {query: old-q, passage: old-p, load: {pooling: cls, max_length: 64}}\n"
        "probing: {rank: 8, seeds: 3}\nstatistics: {test: paired_t}\n"
    )
    return path


def test_precedence(file: Path) -> None:
    given = {"after": o.model_values("new", {"pooling": "mean"}), "protocol": "ielab-2025", "probing.seeds": 4}
    chosen = resolve(given, file, ["probing.seeds=2", "probing.tolerance=1e-3"])
    assert chosen.after is not None
    assert (chosen.after.source, chosen.after.query, chosen.after.passage) == ("new", None, None)
    assert (chosen.after.load.pooling, chosen.after.load.max_length) == ("mean", 64)
    assert (chosen.probing.rank, chosen.probing.seeds, chosen.probing.tolerance) == (8, 2, 1e-3)
    assert chosen.statistics.test == "paired_t"  # the file's, over the protocol's
    assert chosen.statistics.correction == "bonferroni"  # the protocol's
    assert chosen.after.load.protocol == chosen.probing.protocol == "ielab-2025"


def test_each_source_wins_over_the_one_below(file: Path) -> None:
    assert resolve({}, None, None).probing.rank == 16
    assert resolve({}, None, None, unless_said={"probing.rank": 4}).probing.rank == 4
    assert resolve({}, file, None, unless_said={"probing.rank": 4}).probing.rank == 8
    assert resolve({"probing.rank": 12}, file, None).probing.rank == 12
    assert resolve({"probing.rank": 12}, file, ["probing.rank=32"]).probing.rank == 32
    assert resolve({"probing.rank": None}, file, None).probing.rank == 8


def test_no_load_option_leaves_the_load_of_the_file(file: Path) -> None:
    chosen = resolve({"after": o.model_values("new", {})}, file, None)
    assert chosen.after is not None
    assert (chosen.after.load.pooling, chosen.after.load.max_length) == ("cls", 64)


def test_an_unknown_name_is_told_with_its_file(file: Path) -> None:
    file.write_text("probing: {rnak: 8}")
    with pytest.raises(SettingsError, match=r"study\.yaml\.probing: there is no setting 'rnak'\n  fix: .*'rank'"):
        resolve({}, file, None)
    with pytest.raises(SettingsError, match=r"there is no setting 'rnak'\n  fix: .*'rank'"):
        resolve({}, None, ["probing.rnak=8"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bert", {"source": "bert", "query": None, "passage": None}),
        ("a/b", {"source": "a/b", "query": None, "passage": None}),
        ("query=A,passage=B/c", {"source": None, "query": "A", "passage": "B/c"}),
        ("passage=B,query=A", {"source": None, "query": "A", "passage": "B"}),
    ],
)
def test_a_model_is_a_name_or_two_towers(name: str, expected: dict[str, object]) -> None:
    assert o.model_values(name, {"pooling": "mean"}) == {**expected, "load": {"pooling": "mean"}}


def test_a_folder_with_an_equals_sign_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "lr=1e-4"
    folder.mkdir()
    assert o.model_values(str(folder), {})["source"] == str(folder)


@pytest.mark.parametrize("name", ["qeury=A,passage=B", "query=A", "query=A,passage=", "query=A,passage=B,other=C"])
def test_towers_that_are_not_two_are_an_error(name: str) -> None:
    with pytest.raises(SettingsError, match=r"does not name two towers\n  fix: write query=NAME,passage=NAME"):
        o.model_values(name, {})


def test_lists_and_numbers() -> None:
    assert o.listed(None) is None
    assert o.listed(" a, b,,c ") == ["a", "b", "c"]
    assert o.numbers("2, 3") == [2, 3]
    for wrong in ("a", "2,-3", "2.5", "²"):
        with pytest.raises(SettingsError, match=r"is no number\n  fix: write them as 2,3,5"):
            o.numbers(wrong)
