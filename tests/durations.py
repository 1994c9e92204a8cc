"""How long each test takes, in processor time: which are slow, and how that list is made.

`tests/slow.txt` lists the tests that need `SLOW` seconds or more; they carry the marker `slow`, and those that need
`LONG` seconds or more carry `long`, too. `make slow` measures all of them again. Processor time counts, of the test and
of the processes that it starts: a busy machine does not make a test slow. The time of a fixture is shared by the tests
that use it, else the first of them would pay for all.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

SLOW = 0.1  # seconds: `make quick` runs what is below, in one to two minutes on two cores
LONG = 0.8  # seconds: `make test` runs what is below, in four minutes on two cores; `make check` runs all
LIST = Path(__file__).with_name("slow.txt")
HEADER = f"# Tests that need {SLOW:g} s of processor time or more. Written by `make slow`.\n"

Use = tuple[str, str]  # a test function, and a fixture that it uses
of_tests: Counter[str] = Counter()  # seconds of a function, without fixtures
of_fixtures: Counter[str] = Counter()
uses: Counter[Use] = Counter()  # cases


def processor_time() -> float:
    """Return the seconds that this process and its finished children have computed."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def function_of(node_id: str) -> str:
    """Return the id of a test function: without the parameters of one case."""
    return node_id.partition("[")[0]


def slow_tests() -> dict[str, float]:
    """Return the listed tests and the seconds that were measured."""
    lines = [line.split() for line in LIST.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {test: float(measured) for measured, test in lines}


def listing(measured: Mapping[str, float]) -> str:
    """Return the text of the list for the tests that were measured."""
    slow = sorted((test, spent) for test, spent in measured.items() if spent >= SLOW)
    return HEADER + "".join(f"{spent:.1f} {test}\n" for test, spent in slow)


def shared_out(tests: Mapping[str, float], fixtures: Mapping[str, float], used: Mapping[Use, int]) -> dict[str, float]:
    """Return the seconds of every test function, each fixture's time shared equally by the cases that use it."""
    users: Counter[str] = Counter()
    for (_, fixture), cases in used.items():
        users[fixture] += cases
    total = Counter(tests)
    for (test, fixture), cases in used.items():
        total[test] += fixtures.get(fixture, 0.0) * cases / users[fixture]
    return dict(total)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--measure-slow", action="store_true", help="write tests/slow.txt from the times of this run")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    listed = slow_tests()
    for item in items:
        measured = listed.get(function_of(item.nodeid), 0.0)
        for marker, seconds in (("slow", SLOW), ("long", LONG)):
            if measured >= seconds:
                item.add_marker(marker)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Function) -> Iterator[None]:
    test, before, fixtures = function_of(item.nodeid), processor_time(), of_fixtures.total()
    for name, definitions in item._fixtureinfo.name2fixturedefs.items():
        uses[test, f"{definitions[-1].baseid}:{name}"] += 1
    outcome = yield
    of_tests[test] += processor_time() - before - (of_fixtures.total() - fixtures)
    return outcome


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[object]:
    before, others = processor_time(), of_fixtures.total()
    made = yield
    within = of_fixtures.total() - others  # fixtures that this one asked for while it was made
    of_fixtures[f"{fixturedef.baseid}:{fixturedef.argname}"] += processor_time() - before - within
    return made


def pytest_sessionfinish(session: pytest.Session) -> None:
    measured = {"tests": dict(of_tests), "fixtures": dict(of_fixtures), "uses": [[*use, n] for use, n in uses.items()]}
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["durations"] = measured
    elif session.config.getoption("measure_slow"):
        LIST.write_text(listing(shared_out(of_tests, of_fixtures, uses)), encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what a worker of pytest-xdist has measured."""
    if "durations" not in getattr(node, "workeroutput", {}):
        return  # it crashed, which pytest-xdist reports
    measured = node.workeroutput["durations"]
    of_tests.update(measured["tests"])
    of_fixtures.update(measured["fixtures"])
    uses.update({(test, fixture): cases for test, fixture, cases in measured["uses"]})
