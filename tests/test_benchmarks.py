"""The scripts beside the package: every name that they import from it is there, and audits print what they measured."""

import ast
import sys
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from retroscope.retrieval.measures import DEFAULT_MEASURES
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, compare_scores
from retroscope.statistics.settings import PUBLISHED_TEST

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks" / "audit"))

import doors
import grid_claims
import headline
import which_tests

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(path for folder in ("benchmarks", "examples") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(ROOT)))
def test_what_a_script_imports_of_the_package_is_there(script: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(script.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    wanted = [(node.module, one.name) for node in imports if _is_ours(node.module) for one in node.names]
    assert [f"{module}.{name}" for module, name in wanted if not _is_there(str(module), name)] == []


def _is_ours(module: str | None) -> bool:
    return module is not None and module.split(".")[0] == "retroscope"


def _is_there(module: str, name: str) -> bool:
    if find_spec(module) is None:
        return False
    imported = import_module(module)
    return hasattr(imported, name) or (hasattr(imported, "__path__") and find_spec(f"{module}.{name}") is not None)


def test_the_audit_of_the_headline_sees_where_interval_and_p_disagree() -> None:
    sides = headline.made()
    by_number = [headline.by_number(sides, DEFAULT_MEASURES[:n]) for n in (1, 4)]
    assert by_number == ["1 | 0.04 | 0.04", "4 | 0.12 | 0.04"]
    before = headline.table("before", headline.in_one_family(sides, DEFAULT_MEASURES), "p_corrected")
    after = headline.table("after", headline.inferred(sides, DEFAULT_MEASURES).effect, "p")
    assert [line.rpartition(" | ")[2] for line in before] == ["NO", "yes", "yes", "yes"]
    assert [line.rpartition(" | ")[2] for line in after] == ["yes"] * 4


def test_the_audit_of_grids_counts_claims_by_both_rules() -> None:
    (findings,) = grid_claims.null_grids(1, grid_claims.no_training(grid_claims.PARTS[:2], 1, 3))

    def claimed(low: float, p_corrected: float) -> tuple[bool, bool]:
        changed = findings.effects.assign(ci_low=low, ci_high=0.1, p_corrected=p_corrected)
        return grid_claims.claimed(replace(findings, effects=changed))

    assert [claimed(-0.1, 0.2), claimed(0.01, 0.2), claimed(0.01, 0.01)] == [
        (False, False),
        (True, False),
        (True, True),
    ]
    assert grid_claims.share((True, *[False] * 19)) == "0.050 [0.001, 0.249]"


def test_the_audit_of_doors_finds_every_one_closed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doors.files(tmp_path)
    doors.checkpoints(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert [line for line in lines if "refused: " not in line] == []


def test_the_audit_of_marks_has_right_and_wrong_values(tmp_path: Path) -> None:
    right, wrong = ([[1, mark, *[0] * (doors.LISTED - 2)]] * doors.MARKED for mark in (0, "0"))
    file = doors.write_marks(tmp_path / "set.jsonl", right)
    assert doors.by_library(file) == round(doors.by_truth(right), 3) != round(doors.by_truth(wrong), 3)
    assert doors.answer_of(lambda: 1) == "accepted: 1"
    doors.write_marks(file, wrong)
    assert doors.answer_of(lambda: doors.by_library(file)).startswith("refused: set.jsonl, line 1: is_selected must be")


def test_the_audit_of_tests_reads_them_from_the_comparisons() -> None:
    rng = np.random.default_rng(0)
    hard = rng.standard_normal((50, 1))
    coords = {"query": [f"q{n}" for n in range(50)], "measure": ["RR@10"]}
    gained = hard + 0.1 + 0.1 * rng.standard_normal((50, 1))
    sides = [Scores("made", xr.DataArray(values, coords, ("query", "measure"))) for values in (hard, gained)]
    paired = {"retrieval": compare_scores(*sides, ComparisonSettings(resamples=100))}
    (line,) = which_tests.tests(paired, ComparisonSettings(test=PUBLISHED_TEST, resamples=100))
    assert line == "retrieval | unpaired_t, 0 | paired_t, 1 | 1"


def test_the_audit_of_code_lengths_lists_their_families() -> None:
    coords = {"query": ["q0", "q1"], "control": ["none", "shuffled_queries"], "passages": [2], "layer": [0, 1, 2]}
    lengths = Scores("mdl", xr.DataArray(np.zeros((2, 2, 1, 3)), coords, tuple(coords)))
    effect = compare_scores(lengths, lengths)
    assert which_tests.corrected_together(effect, ()) == ["control none, shuffled_queries | 6"]
    apart = ["control none | 3", "control shuffled_queries | 3"]
    assert which_tests.corrected_together(effect, ("control",)) == apart
