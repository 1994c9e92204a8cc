"""Nothing is replaced that is not ours: files that no study wrote, and another finished study."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.errors import AnalysisError, SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study import run
from retroscope.study.planning.plan import StudyPlan, plan_study
from retroscope.study.run import KEPT, compare, run_study
from retroscope.study.study import Study, load_study

OFF = ("layers", "probes", "weights", "representations", "neurons", "transplants", "baselines")
SEARCH = StudySettings(
    measures=("RR@10",),
    random_weights=False,
    statistics=ComparisonSettings(resamples=200, permutations=200),
    analyses=dict.fromkeys(OFF),
)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def searched(backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path) -> Study:
    return compare(backbone, retriever, collection, SEARCH, cache=cache)


@pytest.mark.parametrize("write", [Study.report, Study.save], ids=["report", "save"])
@pytest.mark.parametrize("other", ["models", "collections", "settings"])
def test_another_finished_study_is_not_replaced(
    backbone: Retriever, retriever: Retriever, collection: Collection, searched: Study, cache: Path, tmp_path: Path,
    other: str, write: Callable[..., object],
) -> None:  # fmt: skip
    changed = {
        "models": lambda: compare(backbone, backbone, collection, SEARCH, cache=cache),
        "collections": lambda: compare(backbone, retriever, replace(collection, name="x"), SEARCH, cache=cache),
        "settings": lambda: compare(backbone, retriever, collection, replace(SEARCH, measures=("R@10",)), cache=cache),
    }[other]()
    searched.report(tmp_path)
    before = contents(tmp_path)
    message = (
        rf"the study .* which has other {other} than the new study\n  fix: give another output folder, or overwrite"
    )
    with pytest.raises(SettingsError, match=message):
        write(changed, tmp_path)
    assert contents(tmp_path) == before
    write(changed, tmp_path, overwrite=True)
    assert load_study(tmp_path).facts["models"] == changed.facts["models"]


def test_the_same_study_is_written_again(searched: Study, tmp_path: Path) -> None:
    searched.report(tmp_path)
    searched.report(tmp_path)
    load_study(tmp_path).report(tmp_path)
    assert load_study(tmp_path).summary() == searched.summary()


@pytest.mark.parametrize("file", ["tables/mine.csv", "figures/mine.pdf", "measured/mine", "report.html"])
def test_files_of_others_are_not_replaced(searched: Study, tmp_path: Path, file: str) -> None:
    mine = tmp_path / file
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(SettingsError, match=r"would (be )?overwrit") as refusal:
        searched.report(tmp_path, overwrite=True)
    assert contents(tmp_path) == {file: b"mine"}
    assert refusal.value.fix == "give another output folder", "no advice to remove what is not ours"


def test_a_report_alone_replaces_its_own_and_no_other(
    backbone: Retriever, collection: Collection, searched: Study, cache: Path, tmp_path: Path
) -> None:
    page = searched.report_alone(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {page.name, "tables", "figures", "summary.json"}
    searched.report_alone(tmp_path)
    before = contents(tmp_path)
    for other in (
        compare(backbone, backbone, collection, SEARCH, cache=cache),
        replace(searched, settings={**searched.settings, "random_weights": True}),
    ):
        with pytest.raises(
            SettingsError, match=r"holds the report of another study, '.*'\n  fix: give another output folder"
        ):
            other.report_alone(tmp_path)
    with pytest.raises(SettingsError, match="belongs to something else"):
        searched.report(tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("file", ["tables/mine.csv", "figures/mine.pdf", "report.html"])
def test_a_report_alone_replaces_no_files_of_others(searched: Study, tmp_path: Path, file: str) -> None:
    mine = tmp_path / file
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(SettingsError, match=r"would (be )?overwrit"):
        searched.report_alone(tmp_path)
    assert contents(tmp_path) == {file: b"mine"}


def test_a_folder_of_studies_names_them(searched: Study, tmp_path: Path) -> None:
    searched.save(tmp_path / "runs" / "one")
    with pytest.raises(AnalysisError, match=r"holds no study\n  fix: give one of the studies in it: .*runs/one"):
        load_study(tmp_path / "runs")


@pytest.mark.parametrize("write", [Study.report, Study.save, Study.report_alone], ids=["report", "save", "alone"])
def test_a_place_that_is_no_folder_is_refused(searched: Study, tmp_path: Path, write: Callable[..., object]) -> None:
    place = tmp_path / "file"
    place.write_text("mine")
    with pytest.raises(SettingsError, match=r"file: this folder cannot be written to: .*\n  fix: give another folder"):
        write(searched, place)
    assert place.read_text() == "mine"


def test_an_output_is_refused_before_anything_is_measured(
    backbone: Retriever, retriever: Retriever, collection: Collection, searched: Study, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def planned(settings: StudySettings = SEARCH) -> StudyPlan:
        models = {"before": backbone, "after": retriever}
        return plan_study(models, [collection], settings, cache=tmp_path / "cache")

    def measured(*_: object) -> None:
        raise AssertionError("this is too late")

    (tmp_path / "file").write_text("mine")
    (tmp_path / "theirs" / "tables").mkdir(parents=True)
    (tmp_path / "theirs" / "tables" / "a.csv").write_text("mine")
    searched.report(tmp_path / "other")
    with monkeypatch.context() as early:
        early.setattr(run, "_measured", measured)
        for place, message in (
            ("file", "this folder cannot be written to"),
            ("theirs", "files that Retroscope did not write"),
            ("other", "which has other settings than the new study"),
        ):
            with pytest.raises(SettingsError, match=message):
                run_study(planned(replace(SEARCH, measures=("R@10",))), out=tmp_path / place)
        with pytest.raises(AssertionError, match="too late"):  # the control: the same study may be written again
            run_study(planned(), out=tmp_path / "other")
    study = run_study(planned(), out=tmp_path / "new")
    assert load_study(tmp_path / "new").summary() == study.summary()
    assert [*(tmp_path / "cache" / KEPT).iterdir()] == [], "it is finished"
