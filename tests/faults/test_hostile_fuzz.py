"""Seconds of fuzzing in every run of the tests; `make faults` has the long one. Random text at the small parsers, too."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz import STRATEGIES, case_of, fuzzed
from hypothesis import given, settings
from hypothesis import strategies as st

from retroscope.collection.readers.numbers import relevance_of, score_of
from retroscope.collection.readers.trec_files import line_cells
from retroscope.errors import CollectionError, SettingsError
from retroscope.files.strict_json import BrokenJsonError, parse_json
from retroscope.inputs.settings_files import changed
from retroscope.retrieval.measures import parse_measure
from retroscope.surgery.transplant import named
from retroscope.training.pretraining.shapes import shape_of
from retroscope.training.pretraining.vocabulary import parse_kind

YAML = st.text(st.sampled_from("a1:-[]{}&*!|>'\"%@,#?~<=. \n\t\x00\u202e9"), max_size=40)


def test_damaged_files_and_settings_end_in_one_of_our_errors() -> None:
    counts, findings = fuzzed(120, seed=1)
    assert findings == []
    assert counts["refused"] > 40


def test_a_case_is_the_same_whenever_it_is_made(tmp_path: Path) -> None:
    names = {case_of(0, number, tmp_path)[0] for number in range(300)}
    assert names == {*STRATEGIES}
    assert [case_of(3, n, tmp_path)[0] for n in range(30)] == [case_of(3, n, tmp_path)[0] for n in range(30)]


def refusal(call: Callable[[], object], kind: type[Exception]) -> str:
    """What an error of this kind says; empty where there is none. Any other error is a finding."""
    try:
        call()
    except kind as error:
        return str(error)
    return ""


@settings(max_examples=400)
@given(YAML)
def test_any_text_is_a_value_or_an_error(text: str) -> None:
    assert len(refusal(lambda: changed({}, [f"a={text}"]), SettingsError)) < 2000


PARSERS = {"transplant": lambda t: named(t, 4), "shape": shape_of, "tokenizer": parse_kind, "measure": parse_measure}


@settings(max_examples=300)
@given(
    st.text(max_size=60),
    st.sampled_from(["", "block:", "set:", "random:", "interpolate:", "top:", "bert-", "bpe:", "nDCG@"]),
)
@pytest.mark.parametrize("parser", PARSERS)
def test_any_name_is_known_or_an_error(parser: str, ending: str, beginning: str) -> None:
    assert len(refusal(lambda: PARSERS[parser](beginning + ending), SettingsError)) < 6000


@settings(max_examples=300)
@given(st.text(max_size=40))
def test_any_text_is_json_or_broken(text: str) -> None:
    assert len(refusal(lambda: parse_json(text), BrokenJsonError)) < 400


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=40), st.integers(), st.floats(), st.none(), st.binary(max_size=9)))
def test_any_value_is_a_grade_or_an_error(value: object) -> None:
    assert refusal(lambda: relevance_of(value, "here"), CollectionError)[:5] in ("", "here:")
    assert refusal(lambda: score_of(str(value), "here"), CollectionError)[:5] in ("", "here:")
    assert all(isinstance(cell, str) for cell in line_cells(str(value)))
