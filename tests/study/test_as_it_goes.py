"""A study is written analysis by analysis: stopped anywhere, the folder holds a valid, smaller study."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from retroscope.analyses import analyses
from retroscope.analyses.analysis import Phase
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.errors import AnalysisError, DamageError
from retroscope.inputs.settings import StudySettings
from retroscope.study.outcome import NEWS, Runnable, StudyOutcome
from retroscope.study.planning.plan import StudyPlan, plan_study
from retroscope.study.run import measure_study, run_study
from retroscope.study.study import Study, load_study
from tiny_study import QUICK

LEFT_OUT = dict.fromkeys(("neurons", "baselines", "probes", "representations"))
FEW = SweepSettings(measures=("RR@10",), transplants=("block:1",), draws=0)
FAST = replace(QUICK, random_weights=False, analyses={**LEFT_OUT, "transplants": FEW})
VARYING = {"timings", "versions"}


def planned(
    pair: tuple[Retriever, Retriever], collection: Collection, cache: Path, settings: StudySettings = FAST
) -> StudyPlan:
    return plan_study(dict(zip(("before", "after"), pair, strict=True)), [collection], settings, cache=cache)


@pytest.fixture
def pair(backbone: Retriever, retriever: Retriever) -> tuple[Retriever, Retriever]:
    return backbone, retriever


def stable(study: Study) -> dict[str, object]:
    """Return the summary of a study without times."""
    return {name: value for name, value in study.summary().items() if name not in VARYING}


def test_what_costs_little_and_answers_much_is_measured_first(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    steps = [step.analysis for step in planned(pair, collection, tmp_path, QUICK).steps]
    assert [one.phase for one in steps] == sorted(one.phase for one in steps)
    assert [one.name for one in steps[:2]] == ["weights", "retrieval"]
    assert {one.name for one in steps if one.phase == Phase.INTERVENTIONS} == {"neurons", "transplants"}
    assert steps != [one for one in analyses().values() if one in steps], "the control: reading order is another"


def test_every_study_of_a_run_is_whole_and_the_last_is_the_same_as_without_stops(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    plan = planned(pair, collection, tmp_path / "cache")
    out, written = tmp_path / "out", set[tuple[str, int]]()
    sizes = []
    for study in measure_study(plan):
        page = study.report(out, written)
        stored = load_study(out)
        assert stable(stored) == stable(study)
        assert ("Not yet run" in page.read_text("utf-8")) == (not study.subject.is_finished)
        assert (out / "tables").exists() == study.subject.is_finished
        sizes.append((len(stored.measured), len(stored.subject.not_yet_run)))
    steps = len(sizes)
    assert sizes == [(number, steps - number) for number in range(1, steps + 1)]
    at_once = run_study(planned(pair, collection, tmp_path / "other"))
    assert stable(load_study(out)) == stable(at_once)


def test_a_section_is_inferred_again_only_where_its_input_has_changed(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    studies = list(measure_study(planned(pair, collection, tmp_path)))
    sections = [study.report_contents.sections for study in studies]
    assert all(one["retrieval"] is sections[1]["retrieval"] for one in sections[1:])
    (measurement,) = studies[-1].measured["retrieval"]
    changed = replace(studies[-1], measured={**studies[-1].measured, "retrieval": (replace(measurement),)})
    assert changed.report_contents.sections["retrieval"] is not sections[-1]["retrieval"], "another measurement"
    renamed = replace(studies[-1], facts={**studies[-1].facts, "title": "another"})
    assert renamed.report_contents.sections["retrieval"] is not sections[-1]["retrieval"], "another subject"


def stopped(plan: StudyPlan, out: Path, after: int) -> None:
    """Write the first outcomes of a run, and nothing that comes later."""
    for number, outcome in enumerate(Runnable(plan).run(lambda *_: None), start=1):
        outcome.write(out)
        if number == after:
            return


def test_a_repeated_command_never_makes_the_study_smaller(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stopped(planned(pair, collection, tmp_path / "cache"), out, after=3)
    assert len(load_study(out).measured) == 3
    sizes = []
    plan = planned(pair, collection, tmp_path / "cache")
    for outcome in Runnable(plan).run(lambda *_: None):
        outcome.write(out)
        sizes.append(len(load_study(out).measured))
    assert sizes[:3] == [3, 3, 3]
    assert sizes == sorted(sizes)
    assert load_study(out).subject.is_finished


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def finished(plan: StudyPlan, out: Path) -> None:
    for outcome in Runnable(plan).run(lambda *_: None):
        outcome.write(out)
    outcome.close()


def test_a_finished_study_is_read_and_said_to_be_finished(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    cheap = replace(FAST, analyses=dict.fromkeys((*LEFT_OUT, "transplants", "layers", "weights")))
    out, cache = tmp_path / "out", tmp_path / "cache"
    finished(planned(pair, collection, cache, cheap), out)
    before = contents(out)
    (out / "report.html").write_text("damaged")
    again = Runnable(planned(pair, collection, cache, cheap)).repeated(out)
    assert again.lines() == [
        f"the study in {out} is finished: it is read, and nothing is measured (--overwrite measures it again)"
    ]
    assert again.document()["seconds"] == 0
    (outcome,) = again.run(lambda *_: None)
    assert outcome.is_final
    outcome.write(out)
    assert contents(out) == before


def test_a_finished_study_that_is_measured_again_says_why(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    cheap = replace(FAST, analyses=dict.fromkeys((*LEFT_OUT, "transplants", "layers", "weights")))
    out, cache = tmp_path / "out", tmp_path / "cache"

    def reason(models: tuple[Retriever, Retriever], texts: Collection, settings: StudySettings = cheap) -> str:
        again = Runnable(planned(models, texts, cache, settings)).repeated(out)
        assert again.finished is None
        return "".join(line for line in again.lines() if "measured again" in line).rpartition(": ")[2]

    assert reason(pair, collection) == "", "nothing is there"
    finished(planned(pair, collection, cache, cheap), out)
    assert reason((pair[0], pair[0]), collection) == "a model has changed"
    fewer = replace(collection, judgments=collection.judgments[:-1])
    assert reason(pair, fewer) == "a collection has changed"
    assert reason(pair, collection, replace(cheap, measures=("R@10",))) == "", "it is refused"
    (out / "measured" / "retrieval" / "0" / "measurement.json").write_text("{}")
    assert "a file of the study is damaged" in reason(pair, collection)


def test_the_plan_names_what_a_stopped_run_has_measured(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    def lines() -> list[str]:
        every = Runnable(planned(pair, collection, tmp_path / "cache")).lines()
        return [line for line in every if "stopped run" in line]

    assert lines() == []
    stopped(planned(pair, collection, tmp_path / "cache"), tmp_path / "out", after=2)
    assert lines() == ["already measured by a stopped run, but still included in the times above: weights, retrieval"]


def test_a_study_with_other_settings_is_replaced_and_not_added_to(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stopped(planned(pair, collection, tmp_path / "cache"), out, after=3)
    other = replace(FAST, measures=("RR@10",))
    stopped(planned(pair, collection, tmp_path / "cache", other), out, after=1)
    study = load_study(out)
    assert list(study.measured) == ["weights"]
    assert [path.name for path in sorted((out / "measured").iterdir()) if path.name[0] != "."] == ["weights"]


def test_a_damaged_measurement_is_written_again_by_a_repeated_command(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    plan = planned(pair, collection, tmp_path / "cache")
    (*_, outcome) = Runnable(plan).run(lambda *_: None)
    outcome.write(out)
    whole = stable(load_study(out))
    (out / "measured" / "weights" / "0" / "measurement.json").unlink()
    with pytest.raises(DamageError, match=r"weights/0/measurement.json: this file is missing\n  fix: restore this"):
        load_study(out)
    for again in Runnable(planned(pair, collection, tmp_path / "cache")).run(lambda *_: None):
        again.write(out)
    assert stable(load_study(out)) == whole


def test_what_is_not_yet_run_is_said_by_name(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    first = next(measure_study(planned(pair, collection, tmp_path)))
    with pytest.raises(AnalysisError, match="'transplants' has not run yet in this study"):
        first["transplants"]
    with pytest.raises(AnalysisError, match="'neurons' was not measured in this study"):
        first["neurons"]


def test_the_news_of_an_analysis_are_its_first_conclusion(
    pair: tuple[Retriever, Retriever], collection: Collection, tmp_path: Path
) -> None:
    outcomes: Iterator[StudyOutcome] = Runnable(planned(pair, collection, tmp_path)).run(lambda *_: None)
    news = [outcome.news() for outcome in outcomes]
    headline = next(one for one in news if one.startswith("retrieval: "))
    assert "RR@10" in headline
    assert max(len(one.partition(": ")[2]) for one in news) <= NEWS
