"""The project's own files agree with one another and with the code: version, Pythons, extras, checks, packages."""

import ast
import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

import retroscope

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "retroscope"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PYTHONS = ["3.11", "3.12", "3.13"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def document(name: str) -> Any:
    return yaml.safe_load(text(name))


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile."""
    block = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text("Makefile"), re.MULTILINE)
    assert block is not None, target
    return [line.strip() for line in block[1].splitlines()]


def requirement(wish: str) -> str:
    """The name of a wished package, as names are compared."""
    return re.split(r"[<>=\[]", wish, maxsplit=1)[0].lower().replace("_", "-")


# ---- one version


def test_the_version_is_the_same_everywhere() -> None:
    assert document("CITATION.cff")["version"] == PROJECT["version"]
    assert version("retroscope") == PROJECT["version"], "the installed metadata is old: make install"
    assert retroscope.__version__ == PROJECT["version"]


def test_a_citation_has_the_projects_words() -> None:
    citation = document("CITATION.cff")
    assert citation["title"] == f"Retroscope: {PROJECT['description'][0].lower()}{PROJECT['description'][1:]}"
    assert citation["license"] == PROJECT["license"]
    assert set(citation["keywords"]) <= set(PROJECT["keywords"])


# ---- Pythons


def test_the_supported_pythons_are_the_tested_ones() -> None:
    prefix = "Programming Language :: Python :: 3."
    classified = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if c.startswith(prefix)]
    assert classified == PYTHONS
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    matrix = document(".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert (matrix["python"], matrix["dependencies"]) == (PYTHONS, ["lowest", "newest"])
    assert "(3, 11) <= v[:2] <= (3, 13)" in text("Makefile")


# ---- extras


def test_no_two_extras_mean_the_same() -> None:
    wanted = [frozenset(wishes) for wishes in EXTRAS.values()]
    assert len(set(wanted)) == len(wanted)


def test_a_requirement_is_stated_once() -> None:
    stated = [requirement(wish) for wishes in [PROJECT["dependencies"], *EXTRAS.values()] for wish in wishes]
    once = [name for name in stated if name != "retroscope"]
    assert sorted({name for name in once if once.count(name) > 1}) == []


def test_every_requirement_has_a_lowest_version_and_a_tested_one() -> None:
    wishes = [wish for group in [PROJECT["dependencies"], *EXTRAS.values()] for wish in group]
    others = [wish for wish in wishes if requirement(wish) != "retroscope"]
    assert [wish for wish in others if not re.search(r"[>=]=\d", wish)] == []
    tested = {requirement(line) for line in text("constraints.txt").splitlines() if not line.startswith("#")}
    assert sorted({requirement(wish) for wish in others} - tested) == []


def test_an_error_that_names_an_extra_names_one_that_exists() -> None:
    named = {
        name
        for path in SRC.rglob("*.py")
        for names in re.findall(r"retroscope\[([\w,-]+)\]'", path.read_text(encoding="utf-8"))
        for name in names.split(",")
    }
    assert named == {"datasets", "erasure", "ir-datasets", "object-store", "ray"}
    assert named <= set(EXTRAS)


# ---- checks


def test_the_gate_runs_every_check() -> None:
    assert text(".ci/run").splitlines()[-1] == "make check"
    targets = [word for command in recipe("check") for word in command.split() if word.isalpha()]
    assert targets == ["lint", "types", "imports", "docs", "everything"]


def test_a_commit_runs_the_quick_checks_and_fetches_nothing() -> None:
    repositories = document(".pre-commit-config.yaml")["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    commands = [command for target in ("lint", "types", "imports") for command in recipe(target)]
    expected = [command.replace("$(BIN)", ".venv/bin").removesuffix(" --check") for command in commands]
    assert [hook["entry"] for hook in hooks] == expected


@pytest.mark.parametrize("name", ["ci", "release"])
def test_a_workflow_may_only_read_unless_it_publishes(name: str) -> None:
    workflow = document(f".github/workflows/{name}.yml")
    assert workflow["permissions"] == {"contents": "read"}
    more = {job: steps["permissions"] for job, steps in workflow["jobs"].items() if "permissions" in steps}
    assert more == ({"publish": {"id-token": "write"}} if name == "release" else {})


def test_a_release_is_checked_and_tried_before_it_is_published() -> None:
    jobs = document(".github/workflows/release.yml")["jobs"]
    ran = [step["run"] for step in jobs["build"]["steps"] if "run" in step]
    assert ran[1:] == [".ci/run", ".ci/smoke .venv/bin/python dist"]
    assert jobs["publish"]["needs"] == "build"


def test_every_template_asks_for_something() -> None:
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]
    assert len(forms) >= 3
    for path in forms:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= set(form), path.name
        assert any(field.get("validations", {}).get("required") for field in form["body"]), path.name


# ---- packages


def packages() -> list[Path]:
    return sorted(SRC.rglob("__init__.py"))


@pytest.mark.parametrize("path", packages(), ids=lambda path: path.parent.name)
def test_every_package_says_what_it_is_for(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert len(said.split()) >= 10
    assert said.splitlines()[0][-1] in ".?"


def test_nothing_is_left_to_do_in_the_code() -> None:
    assert [path.name for path in SRC.rglob("*.py") if "TODO" in path.read_text(encoding="utf-8")] == []


def test_a_long_installation_says_what_it_installs_before_it_does() -> None:
    lines = text("Makefile").splitlines()
    steps = [number for number, line in enumerate(lines) if "install --quiet" in line]
    assert len(steps) == 3
    for number in steps:
        assert re.match(r'\t@echo "installing .*\d packages.* \d\.\d GB', lines[number - 1]), lines[number]
