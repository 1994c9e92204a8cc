"""An analysis of another package: measured, kept, tested, reported. The page on adding one shows its code."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import toy_analysis
from analyses_one import context_of, measured, reported, subject_of
from retroscope.analyses.analysis import NoSettings
from retroscope.encoders.loading import load_retriever
from retroscope.inputs.settings import StudySettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.statements import State
from tiny_study import Tiny
from toy_analysis import ANALYSIS

SETTINGS = StudySettings(measures=("RR@10",), statistics=ComparisonSettings(resamples=200, permutations=200))
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-an-analysis.md"


def test_a_prompt_adds_its_tokens_to_every_query(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    context = context_of(tiny, cache, SETTINGS)
    prompted = load_retriever(str(tiny.retriever), pooling="mean", query_prompt="who is ")
    context = replace(context, models={**context.models, "after": prompted})
    measurement = measured(ANALYSIS, context, NoSettings(), tmp_path / "tokens")
    added = measurement.scores["after"].values - measurement.scores["before"].values
    assert np.unique(added).size == 1
    assert added.values.min() > 0
    result, section = reported(ANALYSIS, [measurement], subject_of(context))
    assert result.table["effect"].item() == pytest.approx(float(added[0, 0]))
    assert section.statements[0].state == State.SIGNIFICANT
    assert section.document[0]["difference"]["mean"] == pytest.approx(float(added[0, 0]))
    assert section.printed == ("tokens",)


def test_one_tokenizer_has_no_difference(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    context = context_of(tiny, cache, SETTINGS)
    measurement = measured(ANALYSIS, context, NoSettings(), tmp_path / "tokens")
    result, section = reported(ANALYSIS, [measurement], subject_of(context))
    assert section.statements[0].state == State.NOT_SIGNIFICANT
    assert result.table["ties"].item() == measurement.scores["before"].values.sizes["query"]


def test_the_plan_counts_the_queries(tiny: Tiny, cache: Path) -> None:
    context = context_of(tiny, cache, SETTINGS)
    assert ANALYSIS.instrument is not None
    planned = ANALYSIS.instrument().plan(context, NoSettings())
    assert planned.lines == (f"tokens of {len(context.collection.queries):,} queries",)


@pytest.mark.parametrize("name", ["__init__.py", "measure.py", "report.py", "section.html.j2"])
def test_the_page_shows_the_code_that_is_tested(name: str) -> None:
    shown = re.findall(r"^```\w+\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert (Path(toy_analysis.__file__).parent / name).read_text(encoding="utf-8") in shown


def test_the_page_shows_tests_that_run() -> None:
    (shown,) = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert shown in Path(__file__).read_text(encoding="utf-8")
