"""A damaged study names the file and what to do: never a traceback, never another number, never a section less."""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from damage import KINDS, Damage, contents, damage, each_damaged
from hostile_models import odd

from retroscope.analyses.measurement import Measurement, load_measurement
from retroscope.cli.main import main
from retroscope.collection.loading import load_collection
from retroscope.encoders.loading import load_retriever
from retroscope.errors import DamageError
from retroscope.files.checksums import MARK, open_sealed
from retroscope.files.documents import read_document, write_document
from retroscope.files.whole import whole_folder
from retroscope.inputs.settings import StudySettings
from retroscope.retrieval.runs import write_run
from retroscope.scores import Scores
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.planning.plan import plan_study
from retroscope.study.run import KEPT, run_study
from retroscope.study.stored import is_finished_as
from retroscope.study.study import Study, load_study
from retroscope.study.training.cells import DONE, is_complete, stored_scores, write_cell
from retroscope.training.folder import finished_training
from tiny_study import make_tiny

CHEAP = StudySettings(
    measures=("RR@10",),
    random_weights=False,
    statistics=ComparisonSettings(resamples=200, permutations=200),
    analyses=dict.fromkeys(("probes", "representations", "neurons", "transplants", "baselines", "training_runs")),
)
DAMAGED = r"(is damaged: its content does not match its checksum|is missing)"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """A small study and its folder."""
    home = tmp_path_factory.mktemp("damaged")
    tiny = make_tiny(home / "tiny")
    before, after = (load_retriever(folder, pooling="mean") for folder in (tiny.backbone, tiny.retriever))
    models = {"before": before, "after": after}
    study = run_study(plan_study(models, [load_collection(tiny.data)], CHEAP, cache=home / "cache"))
    study.report(home / "out")
    return study, home / "out"


def read_by_show(folder: Path) -> list[Path]:
    """Return the files that `show` reads: all but rankings, tables, figures, page and the summary of it all."""
    measured = [path for path in (folder / "measured").rglob("*") if path.is_file() and path.suffix != ".run"]
    return sorted({folder / "study.json", folder / "settings.yaml", *measured} - {folder / "measured" / MARK})


def drawn(files: list[Path], number: int, seed: int) -> Iterator[Damage]:
    """Damage files at random, one at a time."""
    rng = np.random.default_rng(seed)
    for at in range(number):
        done = damage(files[int(rng.integers(len(files)))], KINDS[at % len(KINDS)], seed=int(rng.integers(2**31)))
        yield done
        done.undo()


def test_a_damaged_study_names_the_file(made: tuple[Study, Path]) -> None:
    study, folder = made
    tried = 0
    for done in drawn(read_by_show(folder), 90, seed=0):
        if done.file == folder / "study.json" and done.kind == "delete":
            continue  # without it there is no study
        with pytest.raises(DamageError, match=DAMAGED) as error:
            load_study(folder)
        assert (error.value.where, "--overwrite" in error.value.fix) == (str(done.file), True), done
        tried += 1
    assert tried > 80
    assert load_study(folder).summary()["analyses"] == study.summary()["analyses"]


def test_a_byte_that_carries_nothing_may_differ(made: tuple[Study, Path]) -> None:
    """The white space of `study.json` is no content."""
    study, folder = made
    file = folder / "study.json"
    whole = file.read_bytes()
    file.write_bytes(json.dumps(json.loads(whole)).encode())
    assert load_study(folder).facts == study.facts
    file.write_bytes(whole)


@pytest.mark.parametrize("name", ["settings.yaml", "measured/retrieval", "measured", "study.json"])
def test_files_of_two_studies_in_one_folder_are_refused(
    made: tuple[Study, Path],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every file is sound, but the numbers would be those of one study under the names of another."""
    study, folder = made
    measured = {
        kind: tuple(replace(one, key=f"{one.key}-other") for one in several) for kind, several in study.measured.items()
    }
    Study(study.facts, {**study.settings, "protocol": "other"}, measured).save(tmp_path / "other")
    shutil.copytree(folder, tmp_path / "mixed")
    target, source = tmp_path / "mixed" / name, tmp_path / "other" / name
    if source.is_dir():
        shutil.rmtree(target)
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
    monkeypatch.setattr("sys.argv", ["retroscope", "show", str(tmp_path / "mixed")])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (2, "")
    place = name if name in ("settings.yaml", "measured/retrieval") else "measured/"
    assert f"error: {tmp_path / 'mixed' / place}" in err
    assert "this belongs to another study than study.json: files of several studies were mixed in one folder" in err
    assert "fix: restore this file or folder from a copy" in err


def test_a_study_that_was_being_replaced_is_not_finished(made: tuple[Study, Path], tmp_path: Path) -> None:
    """A run with --overwrite was stopped between the new measurements and the new study.json: it must go on."""
    study, folder = made
    settings = {**study.settings, "protocol": "other"}
    other = Study(study.facts, settings, study.measured)
    other.save(tmp_path / "other")
    keys = {(name, n): one.key for name, several in study.measured.items() for n, one in enumerate(several)}
    assert is_finished_as(tmp_path / "other", keys, settings)
    shutil.copy(folder / "study.json", tmp_path / "other" / "study.json")
    assert not is_finished_as(tmp_path / "other", keys, settings)
    other.save(tmp_path / "other", overwrite=True)
    assert load_study(tmp_path / "other").settings == settings


@pytest.mark.parametrize("name", ["study.json", "settings.yaml", "measured/retrieval/0/measurement.json"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_device_among_the_files_of_a_study_is_named(
    made: tuple[Study, Path], name: str, kind: str, tmp_path: Path
) -> None:
    """Reading it would wait for ever, or fill the memory."""
    _, folder = made
    shutil.copytree(folder, tmp_path / "odd")
    (tmp_path / "odd" / name).unlink()
    odd(kind, tmp_path / "odd" / name)
    with pytest.raises(DamageError, match=rf"{name}: this is a pipe or a device, not a file\n  fix: restore"):
        load_study(tmp_path / "odd")


def test_a_document_of_nested_lists_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("[" * 200_000)
    with pytest.raises(DamageError, match=r"study\.json: this file is damaged"):
        read_document(tmp_path / "study.json")


@pytest.mark.parametrize(
    "change",
    [{"models": {}}, {"measured": []}, {"measured": {"retrieval": "x"}}, {"collections": "x"}, {"parts": []},
     {"trainings": "a"}, {"title": None}, {"title": 3}, {"command": None}],
)  # fmt: skip
def test_a_forged_study_with_a_right_checksum_names_the_file(
    made: tuple[Study, Path], change: dict[str, object], tmp_path: Path
) -> None:
    _, folder = made
    shutil.copytree(folder, tmp_path / "forged")
    file = tmp_path / "forged" / "study.json"
    write_document(file, {**read_document(file), **change})
    with pytest.raises(DamageError, match=rf"study\.json: this is no valid study\.json.*{next(iter(change))}"):
        load_study(tmp_path / "forged")


@pytest.mark.parametrize("command", ["show", "report"])
@pytest.mark.parametrize("name", ["study.json", "settings.yaml", "measured/retrieval/0/measurement.json"])
def test_commands_say_what_to_do(
    made: tuple[Study, Path],
    command: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, folder = made
    done = damage(folder / name, "cut", seed=1)
    before = contents(folder)
    monkeypatch.setattr("sys.argv", ["retroscope", command, str(folder)])
    with pytest.raises(SystemExit) as end:
        main()
    done_contents = contents(folder)
    done.undo()
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (2, "")
    assert f"error: {folder / name}: this file is damaged" in err
    assert (
        "fix: restore this file or folder from a copy, or repeat the command that made the study, with --overwrite"
        in err
    )
    assert done_contents == before


def test_the_same_command_replaces_a_damaged_study(made: tuple[Study, Path]) -> None:
    study, folder = made
    sound = load_study(folder).summary()
    for name in ("settings.yaml", "measured/retrieval/0/measurement.json", f"measured/weights/0/{MARK}", "study.json"):
        damage(folder / name, "flip", seed=2)
        study.report(folder, overwrite=True)
        assert load_study(folder).summary() == sound, name


# ---- every kind of file that a measurement holds


def measurement() -> Measurement:
    ids = [f"q{i}" for i in range(7)]
    values = xr.DataArray(np.arange(14.0).reshape(7, 2), {"query": ids, "layer": [0, 1]}, ["query", "layer"])
    return Measurement(
        scores={"before/layers": Scores("layers", values, passages={"q1": ("a", "b")})},
        frames={"map": pd.DataFrame({"x": range(9), "y": ["text"] * 9})},
        datasets={"sums": xr.Dataset({"mean": ("neuron", np.arange(5.0))})},
        facts={"n": 3},
        runs={"before": {"q1": [("a", 1.0)]}},
        key="k",
    )


def test_every_file_of_a_measurement_is_checked(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    measurement().save(folder, write_run)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".run"]
    tried = 0
    for done in each_damaged(files, draws=4):
        with pytest.raises(DamageError, match=DAMAGED) as error:
            load_measurement(folder)
        assert error.value.where == str(done.file), done
        tried += 1
    assert tried >= 100
    again = load_measurement(folder)
    assert again.frames["map"].equals(measurement().frames["map"])
    assert again.scores["before/layers"].passages == {"q1": ("a", "b")}


def test_a_ranking_is_checked_when_it_is_read(tmp_path: Path) -> None:
    measurement().save(tmp_path / "m", write_run)
    damage(tmp_path / "m" / "before.run", "flip", seed=0)
    load_measurement(tmp_path / "m")
    with pytest.raises(DamageError, match=DAMAGED):
        open_sealed(tmp_path / "m", "").read("before.run")


def test_a_measurement_of_a_stopped_run_that_is_damaged_is_measured_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny = make_tiny(tmp_path / "tiny")
    model, collection = load_retriever(tiny.retriever, pooling="mean"), load_collection(tiny.data)

    def plan():
        return plan_study({"model": model}, [collection], CHEAP, cache=tmp_path / "cache")

    whole = run_study(plan()).summary()["analyses"]
    places = [path for path in (tmp_path / "cache" / KEPT).iterdir() if path.is_dir()]
    for number, name in enumerate(("model.run", MARK, "measurement.json")):
        (place,) = [path for path in places if (path / "model.run").exists()]
        damage(place / name, KINDS[number], seed=number)
        caplog.clear()
        assert run_study(plan()).summary()["analyses"] == whole
        assert f"{place / name}: this file" in caplog.text


# ---- documents, folders, cells of a training ablation


def test_every_byte_of_a_document_counts(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    document = {"schema": 2, "mean": 0.25, "names": ["é", "b"], "none": None}
    write_document(file, document)
    whole = file.read_bytes()
    assert read_document(file) == document
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with suppress(DamageError):
            assert read_document(file) == document, "only white space may differ"


def test_a_folder_lists_its_files(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "f") as new:
        (new / "a b").write_text("one")
        (new / "deep").mkdir()
        (new / "deep" / "é.txt").write_text("two")
    sealed = open_sealed(tmp_path / "f", "")
    assert list(sealed.checksums) == ["a b", "deep/é.txt"]
    assert sealed.damages() == []
    (tmp_path / "f" / "a b").unlink()
    assert [one.where for one in sealed.damages()] == [str(tmp_path / "f" / "a b")]
    for done in each_damaged([tmp_path / "f" / MARK], draws=20):
        with pytest.raises(DamageError) as error:
            open_sealed(tmp_path / "f", "")
        assert error.value.where == str(done.file)


def test_a_finished_training_whose_document_is_cut_is_named(tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text('{"key": "k", "schema')
    with pytest.raises(DamageError, match=r"training.json: this file is damaged(.|\n)*fix: give another output folder"):
        finished_training(tmp_path, "k")


def test_a_damaged_cell_of_a_training_ablation_is_not_complete(
    tmp_path: Path, made: tuple[Study, Path], caplog: pytest.LogCaptureFixture
) -> None:
    study, _ = made
    scores = study.measured["retrieval"][0].scores
    name = next(iter(scores))
    tests = {name: load_collection(study.facts["collections"][0]["source"])}
    place = tmp_path / "cell"
    write_cell(place, {"key": "k"}, {name: scores[name]}, tests)
    files = [path for path in sorted(place.rglob("*")) if path.is_file()]
    before = contents(place)
    for done in each_damaged(files, draws=2):
        caplog.clear()
        complete = is_complete(place, "k")
        stored = stored_scores(place, "k", tests)
        if done.file.name == DONE and done.kind == "delete":
            assert (complete, stored) == (False, None)
            continue
        assert stored is None, done
        assert "it is computed again" in caplog.text
        (place / DONE).write_bytes(before[DONE])
    assert stored_scores(place, "k", tests) is not None
