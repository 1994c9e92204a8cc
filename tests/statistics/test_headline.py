"""The declared headline is a family of its own; every other significant measure is corrected apart, and named."""

import sys
from pathlib import Path

import numpy as np
import pytest

from retroscope.analyses.retrieval.words import headline, other_measures
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, compare_scores
from synthetic_retrieval import retrieval_result
from synthetic_subject import subject

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "audit"))

from headline import made


def compared(**settings):
    return compare_scores(*made(), ComparisonSettings(resamples=200, **settings))


def test_the_headline_does_not_depend_on_how_many_other_measures_were_asked_for():
    alone = compared(headline=("measure", "nDCG@10")).table
    together = compared().table
    assert float(alone["p_corrected"].sel(measure="nDCG@10")) == pytest.approx(0.040, abs=5e-4)
    assert float(together["p_corrected"].sel(measure="nDCG@10")) == pytest.approx(0.120, abs=2e-3)


def test_the_other_measures_are_corrected_among_themselves():
    table = compared(headline=("measure", "nDCG@10"), correction="bonferroni").table
    p, corrected = (table[name].drop_sel(measure="nDCG@10").values for name in ("p", "p_corrected"))
    np.testing.assert_allclose(corrected, np.minimum(1, 3 * p))


def test_every_significant_measure_is_named_and_no_other():
    result = retrieval_result(effect=compared(headline=("measure", "nDCG@10")), flip_measure="RR@10")
    first, (others,) = headline(result, subject()), other_measures(result.effect, "nDCG@10")
    assert first.state == "significant"
    assert "p = 0.040" in first.text
    assert "corrected" not in first.text, "a family of one is not corrected"
    assert "R@100 from" in others.text
    assert "holm-corrected p < 0.001; 191 queries higher, 71 lower" in others.text
    assert "RR@10" not in others.text
    assert "Of 3 other measures, 1 changed" in others.text


def test_without_a_significant_measure_none_is_named():
    same = Scores("retrieval", made()[0].values)
    other = compare_scores(same, same, ComparisonSettings(resamples=200, headline=("measure", "nDCG@10")))
    assert other_measures(other, "nDCG@10") == ()
