"""The pace of a stage, and where progress is shown."""

import io
import re
import sys

import pytest
from rich.console import Console

from retroscope import display
from retroscope.display import shown, shown_count
from retroscope.progress import Pace, listens


def test_the_first_second_shows_the_count_alone() -> None:
    pace = Pace(started=0.0)
    pace.report(0, 100, now=0.0)
    pace.report(50, 100, now=0.9)
    assert (pace.rate, pace.left(0.9)) == (None, None)
    assert display._line("encoding", pace) == "encoding: 50 of 100"
    pace.report(51, 100, now=1.0)
    assert pace.rate == pytest.approx(51)
    assert display._line("encoding", pace) == "encoding: 51 of 100, 51/s, 0:00:00 left"


def test_a_stage_has_a_rate_from_its_first_batch_on() -> None:
    pace = Pace(started=10.0)
    assert (pace.rate, pace.left(10.0)) == (None, None)
    pace.report(20, 100, now=12.0)
    assert (pace.rate, pace.left(12.0), pace.left(14.0)) == (10.0, 8.0, 6.0)


def test_what_an_earlier_run_did_is_not_in_the_rate() -> None:
    pace = Pace(started=0.0)
    pace.report(0, 100, now=50.0)
    pace.report(90, 100, now=50.001)
    assert pace.rate is None
    pace.report(92, 100, now=52.001)
    assert pace.rate == pytest.approx(1.0)
    assert pace.left(52.001) == pytest.approx(8.0)


def test_preparations_before_the_first_item_are_not_in_the_rate() -> None:
    pace = Pace(started=0.0)
    pace.report(1, 2000, now=30.0)
    assert pace.rate is None, "30 s for one item would tell 17 hours"
    pace.report(101, 2000, now=32.0)
    assert pace.rate == pytest.approx(50.0)


def test_a_caller_decides_for_what_it_calls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def callback(what: str, done: int, total: int) -> None:
        return None

    with shown(callback) as report:
        assert report is callback
    with shown(None) as report:
        assert report is None, "standard error is no terminal"
    monkeypatch.setattr(display, "is_interactive", lambda: True)
    with shown(None) as report:
        assert report is not None
        with shown(None) as inner:
            assert inner is None
    with shown(False) as report, shown(None) as inner:
        assert report is inner is None
    with shown(None) as report:
        assert report is not None


def test_a_notebook_gets_one_line_a_stage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    with shown(None) as report:
        assert report is not None
        for done in range(4):
            report("encoding", done, 3)
        report("probing", 1, 2)
    written = capsys.readouterr().err.split("\n")
    assert [line.rpartition("\r")[2].split(",")[0].strip() for line in written] == [
        "encoding: 3 of 3",
        "probing: 1 of 2",
    ]


def test_a_function_below_hears_the_caller_and_shows_nothing_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "is_interactive", lambda: True)
    counts: list[tuple[int, int]] = []
    with display.progress_bars() as bars:
        with shown_count(None, "searching") as count:
            assert count is None
            assert listens() is bars
        with shown_count(lambda *call: counts.append(call), "searching") as count:
            assert listens() is bars
        with shown(False):
            assert listens() is None
    assert listens() is None
    with shown_count(lambda *call: counts.append(call), "searching") as count:
        assert listens() is None, "a callback of one stage hears of no other"
        assert count is not None
        count(1, 2)
    assert counts == [(1, 2)]


def test_a_terminal_shows_what_is_under_way_and_a_line_of_what_took_long(monkeypatch: pytest.MonkeyPatch) -> None:
    written, now = io.StringIO(), [0.0]
    console = Console(file=written, force_terminal=True, width=80)
    monkeypatch.setattr(display, "Console", lambda stderr: console)
    monkeypatch.setattr(display, "monotonic", lambda: now[0])
    with display.progress_bars() as report:
        for what, seconds in (("short", 0.5), ("long", 75.0), ("[red]odd", 2.0)):
            report(what, 0, 1200)
            now[0] += seconds
            report(what, 1200, 1200)
            report(what, 1200, 1200)
        report("under way", 1, 3)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.getvalue())
    lines = [line.strip() for line in plain.replace("\r", "\n").split("\n")]
    assert [line for line in lines if " in 0:" in line] == ["long: 1,200 in 0:01:15", "[red]odd: 1,200 in 0:00:02"]
    last = [line for line in lines if line][-1]
    assert last.startswith("under way"), "no bar of a finished stage remains"
