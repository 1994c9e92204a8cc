"""`make house` measures what it says, and the house stays within its limits."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / "tools" / "house.py"

# The most (the least, where a share is meant) of each measure. Lower one whenever the house allows it.
LIMITS = {
    "modules in the widest folder": 16,
    "lines of the longest module": 300,
    "lines of the longest body": 36,
    "files with an upward import": 0,
    "functions with more than 8 parameters": 0,
    "functions with more than 5 before their settings": 8,
    "functions without all types": 0,
    "names with two meanings": 0,
}
LEAST_VERBS = 99.0  # per cent

PROJECT = '[[tool.importlinter.contracts]]\nlayers = ["cli", "drift | probing", "errors"]\n'
MANY = ", ".join(f"p{i}: int" for i in range(9))
PLANTED = {
    "errors.py": '"""Errors."""\nfrom retroscope.cli import main\n\nclass Mistake(Exception):\n    """A mistake."""\n',
    "cli/__init__.py": "",
    "cli/main.py": f'def run({MANY}) -> None:\n    """Run it."""\n    return None\n',
    "cli/show.py": 'def run() -> None:\n    """Says what is there."""\n',
    "probing/types.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import retroscope.cli\n",
    "drift/weights.py": 'Kind = dict\ndef change(a: int, b) -> int:\n    """Share of changes."""\n    return 0\n',
    "drift/angles.py": "def change(a: int) -> int:\n    def inner(b: int):\n        return b\n    return inner(a)\n",
    "probing/grid.py": "from retroscope.drift.weights import change\nimport retroscope.errors\n\nclass Kind: ...\n",
}


@pytest.fixture(scope="module")
def house() -> ModuleType:
    spec = importlib.util.spec_from_file_location("house", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["house"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ours(house: ModuleType) -> dict[str, Any]:
    taken = house.measures(ROOT / "src" / "retroscope", ROOT / "pyproject.toml", house.read_verbs())
    return {one.name: one for one in taken}


@pytest.fixture
def planted(house: ModuleType, tmp_path: Path) -> dict[str, Any]:
    for name, text in PLANTED.items():
        (tmp_path / "retroscope" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "retroscope" / name).write_text(text, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    taken = house.measures(tmp_path / "retroscope", tmp_path / "pyproject.toml", frozenset({"run", "share"}))
    return {one.name: one for one in taken}


@pytest.mark.parametrize("name", LIMITS)
def test_the_house_stays_within_its_limits(ours: dict[str, Any], name: str) -> None:
    assert ours[name].value <= LIMITS[name], "\n".join(f"{size:g}  {place}" for size, place in ours[name].items[:40])


def test_docstrings_start_with_a_verb(ours: dict[str, Any]) -> None:
    share = ours["per cent of docstrings that start with a verb"]
    assert share.value >= LEAST_VERBS, "\n".join(place for _, place in share.items)


@pytest.mark.parametrize(
    ("name", "value", "first"),
    [
        ("modules in the widest folder", 2, "drift"),  # without __init__.py
        ("lines of the longest module", 5, "errors.py"),
        ("lines of the longest body", 3, "drift/angles.py:1 change"),
        ("files with an upward import", 2, "errors.py -> cli"),  # and of a neighbour, not of a type checker's import
        ("functions with more than 8 parameters", 1, "cli/main.py:1 run"),
        ("functions with more than 5 before their settings", 1, "cli/main.py:1 run"),
        ("functions without all types", 2, "drift/angles.py:2 inner"),
        ("names with two meanings", 3, "Kind: drift/weights.py, probing/grid.py"),
    ],
)
def test_the_tool_can_fail(planted: dict[str, Any], name: str, value: float, first: str) -> None:
    one = planted[name]
    assert (one.value, first in [place for _, place in one.items]) == (value, True), one.items


def test_a_noun_of_a_verbs_form_is_no_verb(planted: dict[str, Any]) -> None:
    share = planted["per cent of docstrings that start with a verb"]
    assert share.value == pytest.approx(100 / 3)
    assert [place.partition(": ")[2] for _, place in share.items] == ["Says what is there.", "Share of changes."]


def test_names_of_one_role_have_one_meaning(house: ModuleType) -> None:
    modules = [
        house.Module(name, "", house.ast.parse("def run() -> None: ..."))
        for name in ("cli/commands/show.py", "cli/commands/demo.py", "study/run.py")
    ]
    assert house.shared_names(modules[:2]) == []
    assert [place.partition(":")[0] for _, place in house.shared_names(modules)] == ["run"]


def test_the_command_prints_a_line_a_measure_or_all_that_is_behind_one() -> None:
    def printed(*words: str) -> list[str]:
        done = subprocess.run([sys.executable, TOOL, *words], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    assert len(printed()) == 9
    listed = printed("--list", "widest folder")
    assert listed[0].strip().endswith("modules in the widest folder")
    assert any(line.endswith("  statistics") for line in listed)
