"""Every number of every settings class has a range in its type; YAML neither swells nor runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from hostile_doors import ACCEPTED, REFUSED, answer_of
from hostile_settings import number_fields, settings_cases

from retroscope.errors import SettingsError
from retroscope.inputs.settings_files import changed, from_yaml
from retroscope.ranges import Distinct, Range, Seed, _limits, check_ranges


@dataclass(frozen=True)
class Toy:
    seed: Seed = 0
    share: Annotated[float, Range(0, 1, open=True)] = 0.5
    many: Annotated[tuple[Annotated[int, Range(2, 9, special=(0,))], ...], Distinct()] | None = None

    def __post_init__(self) -> None:
        check_ranges(self)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seed": -1}, r"seed is -1, which is out of range\n  fix: give at least 0 and at most 4,294,967,295"),
        ({"seed": 1.5}, r"Toy: seed is 1\.5, not a whole number\n  fix: give a whole number, at least 0"),
        ({"seed": True}, "seed is True"),
        ({"seed": "1"}, "seed is '1'"),
        ({"share": 0}, "share is 0, which is out of range\n  fix: give more than 0 and less than 1"),
        ({"share": float("nan")}, "share is nan"),
        ({"share": float("inf")}, "share is inf"),
        ({"many": (1,)}, r"many is 1, which is out of range\n  fix: give at least 2 and at most 9, or 0"),
        ({"many": (3, 3)}, "many contains a value more than once"),
        ({"seed": 10**5000}, "seed is .int that is too long to show"),
    ],
)
def test_numbers_outside_their_range_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Toy(**values)


def test_numbers_inside_their_range_are_taken() -> None:
    assert Toy(seed=2**32 - 1, share=1e-9, many=(0, 2, 9)).many == (0, 2, 9)
    assert Toy(many=None).share == 0.5


def test_every_number_of_every_settings_class_has_a_range() -> None:
    """A new field without one fails here, and would be believed whatever it says."""
    found = list(number_fields())
    assert len({name for name, *_ in found}) > 15
    assert [f"{name}.{field}" for name, kind, _, field, _, _ in found
            if not any(isinstance(limit.mark, Range) for limit in _limits(kind)[field])] == []  # fmt: skip


def test_every_settings_class_checks_its_ranges_when_it_is_made() -> None:
    for _, kind, needs, field, many, _ in number_fields():
        given = (float("nan"),) if many else float("nan")
        with pytest.raises(SettingsError, match=field):
            kind(**{**needs, field: given})


CASES = list(settings_cases())
IN_PROCESS = [case for case in CASES if case.kind != "no regular file"]


def test_the_table_is_long_and_has_every_class() -> None:
    assert len(CASES) > 800
    assert {case.kind for case in CASES} >= {"number", "a value twice", "YAML", "value", "tokenizer size"}


@pytest.mark.parametrize("kind", sorted({case.kind for case in IN_PROCESS}))
def test_hostile_settings_are_refused_before_anything_is_read(kind: str, tmp_path: Path) -> None:
    wrong = []
    for number, case in enumerate(one for one in IN_PROCESS if one.kind == kind):
        answer = answer_of(case, tmp_path / str(number))
        if not answer.startswith(REFUSED) and not (answer.startswith(ACCEPTED) and not case.refused):
            wrong.append(f"{case.title}: {answer[:200]}")
    assert wrong == []


def test_aliases_count_as_often_as_they_occur(tmp_path: Path) -> None:
    shared = tmp_path / "shared.yaml"
    shared.write_text("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n")
    assert from_yaml(shared) == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}
    laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(6)
    )
    with pytest.raises(SettingsError, match=r"YAMLError: more than 100,000 values, counting each use of an alias"):
        from_yaml(tmp_path / "laughs.yaml") if (tmp_path / "laughs.yaml").write_text(laughs) else None


@pytest.mark.parametrize("value", ["1", "[1, 2]", "{a: 1}", "", "null", "text", "1.5e-3", "{a: {b: [1, {c: d}]}}"])
def test_what_is_read_is_what_yaml_says(value: str) -> None:
    assert changed({}, [f"a={value}"]) == {"a": yaml.safe_load(value)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("010", "'010' means 8 in YAML; write 8"), ("0_100", "'0_100' means 64 in YAML"), ("-017", "means -15 in YAML"),
        ("1:30", "'1:30' means 90 in YAML; write 90"), ("190:20:30.5", "means 685230.5 in YAML"),
        ("2024-01-31", "'2024-01-31' is of the YAML type timestamp, .*put texts into quotes"),
        ("!!set {RR@10, R@10}", "this value is of the YAML type set"), ("!!binary eA==", "is of the YAML type binary"),
        ("!!omap [a: 1]", "of the YAML type omap"), ("[7, 010]", "'010' means 8"),
    ],
)  # fmt: skip
def test_what_yaml_reads_otherwise_than_it_looks_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=said):
        changed({}, [f"a={text}"])
    (tmp_path / "settings.yaml").write_text(f"x: 1\na: {text}\n")
    with pytest.raises(SettingsError, match=rf"settings\.yaml: this is not YAML \(.*{said}.*, line 2\)"):
        from_yaml(tmp_path / "settings.yaml")


@pytest.mark.parametrize("value", ["0", "-0", "0.5", "10", "1_000", "0x10", "0b11", "+5", ".5", "00.5", "'010'", "08"])
def test_numbers_that_mean_what_they_show_are_read(value: str) -> None:
    assert changed({}, [f"a={value}"]) == {"a": yaml.safe_load(value)}
