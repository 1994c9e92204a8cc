"""One way to carry out a plan: what is refused, printed, written, and in which order."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from retroscope.cli.running import Destination, Outcome, Plan, carry_out
from retroscope.cli.studies import tell_if_late
from retroscope.errors import SettingsError
from retroscope.files.whole import MARK
from retroscope.progress import Progress


@dataclass(frozen=True)
class ToyOutcome:
    steps: list[str]
    is_final: bool = True

    def news(self) -> str:
        return "the first part is known"

    def write(self, folder: Path) -> Path:
        self.steps.append("write")
        (folder / "report.html").write_text("page")
        return folder / "report.html"

    def document(self) -> Mapping[str, Any]:
        return {"found": 1}

    def text(self, folder: Path | None) -> str:
        return "found: 1"

    def close(self) -> None:
        self.steps.append("close")


@dataclass(frozen=True)
class ToyPlan:
    steps: list[str] = field(default_factory=list)
    fails: bool = False
    parts: int = 0  # before the last
    stops: bool = False  # after the parts

    def prepare(self, progress: Progress) -> Plan:
        self.steps.append("prepare")
        return self

    def lines(self) -> Sequence[str]:
        return ["one thing", "another"]

    def document(self) -> Mapping[str, Any]:
        return {"things": 2}

    def run(self, progress: Progress) -> Iterator[Outcome]:
        self.steps.append("run")
        progress("things", 1, 2)
        if self.fails:
            raise KeyboardInterrupt
        for _ in range(self.parts):
            yield ToyOutcome(self.steps, is_final=False)
        if self.stops:
            raise KeyboardInterrupt
        yield ToyOutcome(self.steps)


def test_a_run_notes_its_plan_and_prints_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, place = ToyPlan(), Destination(out=tmp_path / "new" / "out", cache=tmp_path / "cache")
    carry_out(plan.prepare, place, dry_run=False, as_json=False)
    written = capsys.readouterr()
    assert plan.steps == ["prepare", "run", "write", "close"]
    assert written.out == "found: 1\n"
    assert written.err.splitlines() == [
        "one thing",
        "another",
        "statistics, tables and figures ...",
        f"report: {tmp_path}/new/out/report.html",
    ]  # fmt: skip
    assert (tmp_path / "cache").is_dir()


def test_every_part_is_written_and_said_as_soon_as_it_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = ToyPlan(parts=2)
    carry_out(plan.prepare, Destination(out=tmp_path / "out"), dry_run=False, as_json=False)
    written = capsys.readouterr()
    assert plan.steps == ["prepare", "run", "write", "write", "write", "close"]
    assert written.out == "found: 1\n"
    assert written.err.splitlines()[2:] == [
        *2 * ["the first part is known"], "statistics, tables and figures ...", f"report: {tmp_path}/out/report.html"
    ]  # fmt: skip


def test_a_stopped_run_says_where_the_report_so_far_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = ToyPlan(parts=1, stops=True)
    with pytest.raises(KeyboardInterrupt):
        carry_out(plan.prepare, Destination(out=tmp_path / "out"), dry_run=False, as_json=False)
    written = capsys.readouterr()
    assert plan.steps == ["prepare", "run", "write"], "nothing is closed, so that the same command goes on"
    assert (written.out, written.err.splitlines()[-1]) == ("", f"report so far: {tmp_path}/out/report.html")


def test_without_out_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = ToyPlan()
    carry_out(plan.prepare, Destination(out=None), dry_run=False, as_json=True)
    written = capsys.readouterr()
    assert plan.steps == ["prepare", "run", "close"]
    assert json.loads(written.out) == {"found": 1}
    assert "report" not in written.err


@pytest.mark.parametrize("as_json", [True, False])
def test_a_dry_run_prints_the_plan_only(tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    plan = ToyPlan()
    carry_out(plan.prepare, Destination(out=tmp_path / "out", cache=tmp_path / "cache"), dry_run=True, as_json=as_json)
    written = capsys.readouterr()
    assert (plan.steps, written.err, list(tmp_path.iterdir())) == (
        ["prepare"],
        "",
        [],
    )
    assert json.loads(written.out) == {"things": 2} if as_json else written.out == "one thing\nanother\n"


def test_somebody_elses_files_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    plan, place = ToyPlan(), Destination(out=tmp_path, replaced=("tables",), owner="summary.json")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "mine.csv").write_text("1")
    with pytest.raises(SettingsError, match="that Retroscope did not write"):
        carry_out(plan.prepare, place, dry_run=False, as_json=False)
    (tmp_path / "tables" / MARK).touch()
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(SettingsError, match="belongs to something else"):
        carry_out(plan.prepare, place, dry_run=False, as_json=False)
    assert plan.steps == []
    (tmp_path / "summary.json").write_text("{}")
    carry_out(plan.prepare, place, dry_run=False, as_json=False)
    assert plan.steps == ["prepare", "run", "write", "close"]


def test_an_interrupted_run_leaves_no_empty_folder(tmp_path: Path) -> None:
    plan = ToyPlan(fails=True)
    with pytest.raises(KeyboardInterrupt):
        carry_out(
            plan.prepare, Destination(out=tmp_path / "out", cache=tmp_path / "cache"), dry_run=False, as_json=False
        )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    plan = ToyPlan()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SettingsError, match="this folder cannot be written to"):
        carry_out(plan.prepare, Destination(out=tmp_path / "file" / "out"), dry_run=False, as_json=False)
    assert plan.steps == []


def test_a_run_that_takes_longer_than_its_budget_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for taken, budget in ((100.0, None), (119.0, 100.0), (1e6, math.inf)):
        tell_if_late(taken, budget)
    assert capsys.readouterr().err == ""
    tell_if_late(426.0, 180.0)
    assert capsys.readouterr().err == (
        "this run took 7 min, more than the 3 min of --time: the estimate assumed that no other program is running\n"
    )
