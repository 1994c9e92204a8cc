"""Domain shift in a study: a language that shares no word is found, a part of the same text is not, and the control."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses_one import context_of, measured, reported, subject_of
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Reading, Section
from retroscope.analyses.shift import ANALYSIS
from retroscope.analyses.shift.measure import plan, refusal
from retroscope.analyses.shift.report import infer
from retroscope.analyses.shift.result import CollectionShift, ShiftResult
from retroscope.analyses.shift.words import shift_statements
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.drift.settings import ShiftSettings
from retroscope.drift.shift import ANOTHER, SAME, SHIFT_COLUMNS, WORDS
from retroscope.errors import SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.typesetting.page import SectionPage, fill
from retroscope.typesetting.statements import State
from synthetic_drift import weight_drift
from tiny_pair import people
from tiny_study import Tiny

QUICK = ShiftSettings(texts=120, neighbours=5)


def other_people(seed: int, name: str, *, foreign: bool = False) -> Collection:
    """Return passages like those of the pair, of other persons; foreign: every word is another."""
    persons = people(seed)
    texts = ["".join(f"{w}ski " for w in p.passage.split()) if foreign else p.passage for p in persons]
    passages = [Passage(f"p{i}", text) for i, text in enumerate(texts)]
    queries = [Query(f"q{i}", person.query) for i, person in enumerate(persons)]
    return make_collection(name, passages, queries, [Judgment(f"q{i}", f"p{i}") for i in range(len(persons))])


@pytest.fixture(scope="module")
def context(tiny: Tiny, cache: Path) -> Context:
    return replace(context_of(tiny, cache, StudySettings(measures=("RR@10",))), further=2)


@pytest.fixture(scope="module")
def measurements(context: Context, tmp_path_factory: pytest.TempPathFactory) -> list[Measurement]:
    folder = tmp_path_factory.mktemp("shift")
    others = [other_people(7, "alike"), other_people(8, "foreign", foreign=True)]
    contexts = [context, *(context.on(one, first=False) for one in others)]
    return [measured(ANALYSIS, one, QUICK, folder / str(n)) for n, one in enumerate(contexts)]


@pytest.fixture(scope="module")
def told(context: Context, measurements: list[Measurement]) -> tuple[ShiftResult, Section]:
    return reported(ANALYSIS, measurements, subject_of(context))


def test_another_language_is_found_and_other_texts_of_one_kind_are_not(told: tuple[ShiftResult, Section]) -> None:
    result, section = told
    assert [one.outcome for one in result.others] == [SAME, ANOTHER]
    alike, foreign = result.others
    assert foreign.words["low"] > 0.9
    assert alike.words["shift"] < 0.05
    assert foreign.number("unknown")["shift"] > 0.5  # the tokenizer has read no such word
    assert alike.number("unknown")["shift"] == 0
    said = section.statements
    assert said[0].text.startswith("alike is of the domain and language of collection: the divergence of their ")
    assert said[1].text.startswith("foreign is of another domain or language than collection: the divergence ")
    assert said[1].estimate.value == pytest.approx(foreign.words["shift"])


def test_the_control_passes_on_one_source(told: tuple[ShiftResult, Section]) -> None:
    result, section = told
    assert result.control.outcome == SAME
    control = section.statements[-1]
    assert (control.state, control.control) == (State.MEASURED, "a collection against itself")


def test_the_control_fails_where_a_collection_is_another_than_itself() -> None:
    numbers = pd.DataFrame([(WORDS, 0.5, 0.4, 0.6, 0.6, 0.2, np.nan, np.nan)], columns=list(SHIFT_COLUMNS))
    broken = CollectionShift("torn", numbers, 60)
    (control,) = shift_statements(ShiftResult("torn", broken, (), 0.95))
    assert control.failed
    assert control.text.startswith("CONTROL FAILED: between two samples of passages of torn")


def test_table_document_and_page_have_the_same_numbers(told: tuple[ShiftResult, Section]) -> None:
    result, section = told
    table = section.tables["shift"].frame
    assert list(table["collection"]) == ["collection (control: itself)", "alike", "foreign"]
    word = result.others[1].words
    cell = f"{word['shift']:.3f} [{word['low']:.3f}, {word['high']:.3f}]"
    assert table["words"].iloc[2] == cell
    entry = section.document[2]
    assert entry["numbers"][WORDS]["shift"] == pytest.approx(word["shift"])
    assert entry["outcome"] == ANOTHER
    assert cell in in_page(section)
    assert section.printed == ("shift",)


def in_page(section: Section) -> str:
    body = SectionPage(
        ANALYSIS.name, ANALYSIS.title, ANALYSIS.question, ANALYSIS.package, {**section.values, "section": section}
    )
    values = {"title": "toys", "drift": weight_drift(), "statements": (), "command": "", "versions": {}}
    return fill("diff.html.j2", section.figures, section.tables, values, (body,))


def test_it_needs_a_second_collection_and_enough_passages(context: Context) -> None:
    assert refusal(replace(context, further=0), QUICK) == "there is no second collection"
    few = make_collection(
        "few", [Passage(f"p{i}", f"text {i % 30}") for i in range(60)], [Query("q", "text")], [Judgment("q", "p0")]
    )
    assert refusal(context.on(few, first=False), QUICK).startswith("30 distinct passages are too few")
    assert plan(context, QUICK).lines == ("domain shift: 120 passages",)
    with pytest.raises(SettingsError, match="texts"):
        ShiftSettings(texts=10)


def test_no_section_without_another_collection(context: Context, measurements: list[Measurement]) -> None:
    assert infer(measurements[:1], Reading(subject_of(context))) is None
