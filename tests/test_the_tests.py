"""Every test asserts something, and the slow ones are known by name."""

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

from durations import LIST, SLOW, function_of, listing, shared_out, slow_tests

HERE = Path(__file__).parent
ASSERTING = {"raises", "warns", "fail"}  # of pytest
ASSERTING_MODULES = ("np.testing.", "torch.testing.", "xr.testing.")


def functions(source: str) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]


@cache
def called(function: ast.FunctionDef) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}


@cache
def asserts_itself(function: ast.FunctionDef) -> bool:
    return any(isinstance(node, ast.Assert) for node in ast.walk(function))


def asserts(function: ast.FunctionDef, helpers: Iterable[str]) -> bool:
    """Whether it asserts itself, or calls what does: pytest, a library's `testing`, or a helper of the tests."""
    if asserts_itself(function):
        return True
    known = {f"pytest.{name}" for name in ASSERTING} | set(helpers)
    calls = called(function)
    return any(name in known or name.rpartition(".")[2] in set(helpers) for name in calls) or any(
        name.startswith(ASSERTING_MODULES) for name in calls
    )


def asserting_helpers(all_functions: Iterable[ast.FunctionDef]) -> set[str]:
    """Names of the functions, no tests themselves, that assert or call one that does."""
    helpers = [function for function in all_functions if not function.name.startswith("test_")]
    known: set[str] = set()
    while True:
        found = {function.name for function in helpers if asserts(function, known)}
        if found == known:
            return known
        known = found


def without_assertion(sources: Mapping[str, str]) -> list[str]:
    parsed = {name: functions(source) for name, source in sources.items()}
    helpers = asserting_helpers(function for value in parsed.values() for function in value)
    return [
        f"{name}::{function.name}"
        for name, value in parsed.items()
        for function in value
        if function.name.startswith("test_") and not asserts(function, helpers)
    ]


def sources() -> dict[str, str]:
    return {
        f"tests/{path.relative_to(HERE).as_posix()}": path.read_text(encoding="utf-8")
        for path in sorted(HERE.rglob("*.py"))
    }


def test_every_test_asserts_something() -> None:
    assert without_assertion(sources()) == []


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ("    encode(texts)", True),
        ("    prepare(texts)", True),  # a helper that asserts nothing
        ("    assert encode(texts)", False),
        ("    with pytest.raises(ValueError):\n        encode(texts)", False),
        ("    np.testing.assert_allclose(encode(texts), 1)", False),
        ("    check(texts)", False),  # a helper that asserts
        ("    through(texts)", False),  # a helper that calls one
    ],
)
def test_a_test_without_an_assertion_is_found(body: str, missing: bool) -> None:
    helpers = "def check(x):\n    assert x\n\ndef through(x):\n    check(x)\n\ndef prepare(x):\n    encode(x)\n\n"
    assert without_assertion({"a": f"{helpers}def test_it():\n{body}\n"}) == (["a::test_it"] if missing else [])


def test_the_list_of_slow_tests_names_tests_that_exist() -> None:
    exist = {f"{name}::{f.name}" for name, source in sources().items() for f in functions(source)}
    assert sorted(set(slow_tests()) - exist) == [], "renamed or removed: run `make slow`, or edit tests/slow.txt"


def test_the_list_of_slow_tests_is_read_as_it_is_written() -> None:
    assert listing(slow_tests()) == LIST.read_text(encoding="utf-8")


def test_quick_tests_are_not_listed() -> None:
    assert listing({"b::slow": SLOW, "b::quick": SLOW - 0.01, "a::slow": 2.04}).splitlines()[1:] == [
        "2.0 a::slow",
        "0.1 b::slow",
    ]


def test_cases_of_one_test_are_counted_together() -> None:
    assert function_of("tests/a.py::test_b[x-y[0]]") == "tests/a.py::test_b"


def test_the_time_of_a_fixture_is_shared_by_the_cases_that_use_it() -> None:
    uses = {("a", "world"): 1, ("b", "world"): 3, ("b", "model"): 3}
    assert shared_out({"a": 1.0, "b": 2.0}, {"world": 8.0, "unused": 5.0}, uses) == {"a": 3.0, "b": 8.0}
