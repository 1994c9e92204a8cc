"""How long each test takes, in processor time: which are slow, and how that list is made.

`tests/slow.txt` lists the tests that need `SLOW` seconds or more; they carry the marker `slow`. `make slow` measures
all of them again. Processor time counts, of the test and of the processes that it starts: a busy machine does not
make a test slow.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SLOW = 1.0  # seconds
LIST = Path(__file__).with_name("slow.txt")
HEADER = f"# Tests that need {SLOW:g} s of processor time or more. Written by `make slow`.\n"

seconds: Counter[str] = Counter()


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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--measure-slow", action="store_true", help="write tests/slow.txt from the times of this run")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    listed = slow_tests()
    for item in items:
        if function_of(item.nodeid) in listed:
            item.add_marker("slow")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    before = processor_time()
    outcome = yield
    seconds[function_of(item.nodeid)] += processor_time() - before  # fixtures count for the first test that needs them
    return outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("measure_slow"):
        LIST.write_text(listing(seconds), encoding="utf-8")
