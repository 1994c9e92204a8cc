"""The short part of `make faults`: some kills, signals, full disks and pairs of runs of what takes little time."""

import random
from pathlib import Path

import pytest
from footprint import Footprint, footprint
from harness import KINDS, Tally, Workshop, trial


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize(
    ("stage", "kinds"),
    [
        ("embed", ("kill at a call", "kill at a call", "signal", "full disk", "two runs")),
        ("pretrain", ("kill at a call", "kill at a call", "small files", "two runs")),
        ("retrieve", ("kill at a call", "kill at a time", "clock", "full disk")),
    ],
)
def test_a_disturbed_run_is_repeated_to_the_same_bytes(shop: Workshop, stage: str, kinds: tuple[str, ...]) -> None:
    draw, tally = random.Random(0), Tally()
    for kind in kinds:
        trial(shop, stage, kind, draw, tally)
    assert tally.problems == []
    assert sum(tally.survived.values()) == len(kinds)
    assert tally.most_repeated <= 1, "a kill costs the task that was under way, and at most one that was finished"


def test_what_a_run_should_not_have_left_is_seen(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.json").write_text('{"timings": {"probes": 3.2}, "title": "a"}')
    before = footprint(tmp_path)
    (tmp_path / "out" / "study.json").write_text('{"timings": {"probes": 4.7}, "title": "a"}')
    assert footprint(tmp_path) == before, "times may differ"
    (tmp_path / "out" / "study.json").write_text('{"timings": {}, "title": "b"}')
    (tmp_path / "out" / ".tables.abcdefgh.partial").mkdir()
    after = footprint(tmp_path)
    assert before.differing(after) == ["out/study.json"]
    assert before.leftovers(after) == ["out/.tables.abcdefgh.partial"]
    assert Footprint({}, frozenset()).differing(after) == []


def test_the_line_counts_kills_apart_from_the_rest() -> None:
    tally = Tally(leftovers=2)
    for kind in KINDS:
        tally.trials[kind] += 2
        tally.survived[kind] += 1
    line = tally.line(seed=7, seconds=90)
    assert line.startswith("kills survived 2 of 4, bytes differing 0, tasks repeated 0")
    assert "leftovers 2; signal 1 of 2, full disk 1 of 2" in line
    assert line.endswith("seed 7, 1.5 min")
