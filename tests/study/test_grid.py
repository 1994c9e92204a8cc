"""A grid runs every cell once, goes on where it was stopped, and says what it found."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retroscope.collection.loading import load_collection
from retroscope.collection.world.files import write_world
from retroscope.collection.world.people import WorldSettings
from retroscope.collection.world.world import make_world
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import SettingsError, TrainingError
from retroscope.files.documents import read_document
from retroscope.inputs.settings import DataSettings
from retroscope.statistics.resampling.intervals import IntervalSettings
from retroscope.study.training.grid import Grid, describe_grid, finished_cells, prepare_grid, run_grid, with_labels
from retroscope.study.training.grid_report import GridFindings
from retroscope.study.training.grid_settings import GridSettings
from retroscope.study.training.grid_summary import (
    gather,
    grid_document,
    grid_findings,
    save_gathered,
    write_grid_report,
)
from retroscope.study.training.settings import PretrainStudySettings
from retroscope.training.overlap import overlap_with
from retroscope.training.pairs import training_pairs
from retroscope.training.pretraining.settings import PretrainingSettings
from retroscope.training.settings import TrainingSettings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(make_world(WorldSettings(people=40, documents=2)), tmp_path_factory.mktemp("world") / "w")


@pytest.fixture(scope="module")
def settings(world: Path) -> GridSettings:
    pretraining = PretrainingSettings(steps=3, batch_size=4, max_length=48, checkpoints=1)
    return GridSettings(
        objectives=("mlm",),
        pretraining=PretrainStudySettings(
            text=(str(world / "pretraining.txt"),), shape="bert-tiny", tokenizer="words", pretraining=pretraining
        ),
        load=LoadSettings(pooling="mean", max_length=48),
        data=DataSettings(source=f"beir:{world}", split="train"),
        tests=tuple(DataSettings(source=f"beir:{world}", split=split) for split in ("test", "lexical")),
        labels=(20, 60),
        seeds=(0, 1),
        training=TrainingSettings(steps=3, batch_size=8, evaluations=1, learning_rate=1e-2),
        measures=("RR@10", "R@10"),
        intervals=IntervalSettings(resamples=100),
    )


@pytest.fixture(scope="module")
def whole(settings: GridSettings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Grid, Path]:
    folder = tmp_path_factory.mktemp("grid") / "out"
    grid = prepare_grid(settings)
    run_grid(grid, folder)
    return grid, folder


class Stopped(Exception):
    """The machine went away."""


def test_a_grid_that_is_killed_goes_on_and_repeats_no_cell(
    settings: GridSettings, whole: tuple[Grid, Path], tmp_path: Path
) -> None:
    grid = prepare_grid(settings)

    def kill(what: str, done: int, total: int) -> None:
        if what == "cells" and done == 3:
            raise Stopped

    with pytest.raises(Stopped):
        run_grid(grid, tmp_path, kill)
    assert finished_cells(grid, tmp_path) == 3
    trained: set[str] = set()

    def report_progress(what: str, done: int, total: int) -> None:
        if what.endswith(": training"):
            trained.add(what.removesuffix(": training"))

    gathered = gather(grid, run_grid(grid, tmp_path, report_progress))
    assert trained == {cell.name for cell in grid.cells[3:]}
    once = gather(whole[0], run_grid(*whole))
    for test, scores in gathered.items():
        np.testing.assert_array_equal(scores.values, once[test].values)


def test_every_cell_is_where_its_labels_say(whole: tuple[Grid, Path]) -> None:
    grid, folder = whole
    trained = run_grid(grid, folder)
    gathered = gather(grid, trained)
    assert gathered["test"].values.dims == (
        "query", "backbone", "reinitialise", "strategy", "labels", "seed", "measure",
    )  # fmt: skip
    for cell in grid.cells:
        np.testing.assert_array_equal(
            gathered["lexical"].values.sel(vars(cell)).values, trained[cell]["lexical"].values.values
        )
    assert len({scores["lexical"].values.values.tobytes() for scores in trained.values()}) > 4, "cells differ"
    assert save_gathered(grid, gathered, folder).is_dir()


def test_intervals_are_wider_where_queries_share_passages(whole: tuple[Grid, Path]) -> None:
    grid, folder = whole
    trained = run_grid(grid, folder)
    gathered = gather(grid, trained)
    assert gathered["lexical"].passages == trained[grid.cells[0]]["lexical"].passages
    assert gathered["lexical"].passages
    widths = []
    for hubs in (False, True):  # queries of equal scores share a passage, or none does
        some = {}
        for name, scores in gathered.items():
            means = scores.values.mean([dim for dim in scores.values.dims if dim != "query"]).values
            third = np.argsort(np.argsort(means)) * 3 // len(means)
            hub = [f"p{t}" if hubs else query for query, t in zip(scores.query_ids, third, strict=True)]
            some[name] = replace(scores, passages={q: (p,) for q, p in zip(scores.query_ids, hub, strict=True)})
        cells = grid_findings(grid, some).cells
        widths.append((cells["ci_high"] - cells["ci_low"]).to_numpy())
    assert (widths[1] >= widths[0] - 1e-12).all()
    assert (widths[1] > 1.5 * widths[0]).any()


def test_no_model_is_left_unless_it_is_asked_for(whole: tuple[Grid, Path]) -> None:
    _, folder = whole
    assert sorted(p.name for p in (folder / "backbones").iterdir()) == ["mlm_seed0", "mlm_seed1"]
    kept = {file.name for cell in (folder / "cells").iterdir() for file in cell.iterdir()}
    assert kept == {"cell.json", "scores.zarr"}


def test_what_it_says(whole: tuple[Grid, Path], tmp_path: Path) -> None:
    grid, folder = whole
    findings = grid_findings(grid, gather(grid, run_grid(grid, folder)))
    document = grid_document(findings)
    json.dumps(document, allow_nan=False)
    assert len(document["cells"]) == 2 * 2 * 2 * 2, "tests x reinitialise x labels x measures"
    assert {row["reinitialise"] for row in document["effects"]} == {"all"}
    assert all(row["ci_low"] <= row["mean"] <= row["ci_high"] for row in document["cells"])
    shares = pd.DataFrame(document["shares"]).groupby(["test", "measure"])["share"].sum()
    assert shares.tolist() == pytest.approx([1.0] * 4)
    assert len(document["worth"]) == 2 * 2
    for row in document["effects"]:
        family = [e["p"] for e in document["effects"] if (e["measure"] == "RR@10") == (row["measure"] == "RR@10")]
        assert row["p"] <= row["p_corrected"] <= min(1, len(family) * row["p"]) * (1 + 1e-12)
    assert any("the whole backbone" in said["text"] for said in document["statements"])
    overlaps = [said for said in document["caveats"] if "nearly repeat a training query" in said]
    assert overlaps == [overlap_with(training_pairs(grid.collection), test).words() for test in grid.tests.values()]
    page = write_grid_report(findings, tmp_path).read_text()
    assert "Training ablation of mlm" in page
    assert {p.name for p in (tmp_path / "tables").iterdir()} >= {"cells.csv", "worth.tex", "shares.parquet"}
    assert read_document(tmp_path / "grid.json") == document
    write_grid_report(findings, tmp_path)
    (tmp_path / "grid.json").unlink()
    for write in (lambda: write_grid_report(findings, tmp_path), lambda: run_grid(grid, tmp_path)):
        with pytest.raises(SettingsError, match="belongs to something else"):
            write()
    assert not (tmp_path / "grid.json").exists()


def test_a_cell_of_another_grid_is_left_alone(settings: GridSettings, whole: tuple[Grid, Path]) -> None:
    other = prepare_grid(replace(settings, training=replace(settings.training, temperature=0.1)))
    with pytest.raises(TrainingError, match="holds a training run of another training ablation"):
        run_grid(other, whole[1])


def test_more_seeds_are_added_to_a_grid_without_repeating_it(settings: GridSettings, whole: tuple[Grid, Path]) -> None:
    more = prepare_grid(replace(settings, seeds=(0, 1, 2)))
    assert finished_cells(more, whole[1]) == len(whole[0].cells)
    assert "12 models to train (cells), 8 of them finished" in describe_grid(more, whole[1])


def test_fewer_labels_are_among_more(world: Path) -> None:
    collection = load_collection(f"beir:{world}", split="train")
    few, more = (set(with_labels(collection, n, seed=1).judged_queries) for n in (10, 30))
    assert (len(few), len(more)) == (10, 30)
    assert few < more
    assert few != set(with_labels(collection, 10, seed=2).judged_queries)
    assert with_labels(collection, 30, 1).passages == collection.passages


def test_a_test_query_in_training_is_refused(settings: GridSettings) -> None:
    with pytest.raises(TrainingError, match="held-out queries are also in the training pairs"):
        prepare_grid(replace(settings, tests=(settings.data,)))


@pytest.fixture(scope="module")
def other_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_world(WorldSettings(people=30, documents=2, seed=5))
    return write_world(made, tmp_path_factory.mktemp("other") / "v")


def test_collections_with_one_split_name_are_told_apart_by_their_own(
    settings: GridSettings, world: Path, other_world: Path
) -> None:
    of_both = [DataSettings(source=f"beir:{place}", split="test") for place in (world, other_world)]
    lexical = DataSettings(source=f"beir:{world}", split="lexical")
    grid = prepare_grid(replace(settings, tests=(*of_both, lexical)))
    assert {name: test.source for name, test in grid.tests.items()} == {
        "w/test": str(world), "v/test": str(other_world), "lexical": str(world)
    }  # fmt: skip
    assert "measured on v/test" in describe_grid(grid, world)


def test_a_test_collection_that_is_given_twice_is_refused(settings: GridSettings) -> None:
    with pytest.raises(SettingsError, match=r"two test collections have the name 'w/test': .*(?s:.)*rename one"):
        prepare_grid(replace(settings, tests=(settings.tests[0], settings.tests[0])))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"objectives": ()}, "no backbone was given"),
        ({"tests": ()}, "no test collection was given"),
        ({"pretraining": None}, "the setting `objectives` is given without the setting `pretraining`"),
        ({"seeds": (1, 1)}, "`seeds` names a level more than once: 1, 1"),
        ({"labels": (1,)}, "labels is 1"),
        ({"reinitialise": ()}, "`reinitialise` is an empty list"),
        ({"measures": ("nDCG@10", "NDCG@10")}, "'nDCG@10' and 'NDCG@10' are names of the same measure"),
        ({"backbones": {"mlm": "x"}}, "in `backbones` and in `objectives`: mlm"),
    ],
)
def test_grids_that_cannot_be(settings: GridSettings, wrong: dict, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        replace(settings, **wrong)


def test_more_labels_than_there_are(settings: GridSettings) -> None:
    with pytest.raises(SettingsError, match="5000 labels are asked for, but the collection has"):
        prepare_grid(replace(settings, labels=(20, 5000)))


def cell(value: float, **at: object) -> dict:
    where = {"test": "t", "backbone": "b", "strategy": "full", "reinitialise": "all", "labels": 100}
    return {**where, **at, "value": value, "low": value, "high": value, "beyond": 900,
            "gap_low": np.sign(value), "gap_high": np.sign(value)}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (cell(np.inf), "at 100 labels, more than 900 [more than 900 to more than 900]"),
        (cell(-np.inf), "at 100 labels, none"),
        (cell(250.0), "at 100 labels, 250 [250 to 250]"),
        (cell(np.inf) | {"low": -np.inf}, "at 100 labels, no significant benefit."),
        (cell(-np.inf) | {"high": np.inf}, "at 100 labels, no significant benefit."),
        (cell(250.0) | {"gap_low": -0.1}, "at 100 labels, no significant benefit."),
    ],
)
def test_worth_in_words(row: dict, said: str) -> None:
    """What the interval does not leave standing is not claimed."""
    empty = pd.DataFrame()
    findings = GridFindings("t", "RR@10", 0.95, 2, empty, empty, empty, pd.DataFrame([row, row | {"beyond": 0}]))
    (statement,) = findings.statements()
    assert said in statement.text
    assert statement.text.count("at 100 labels") == 1, "nothing was tried beyond the most labels"


def test_an_effect_changes_only_where_its_corrected_p_says_so() -> None:
    empty = pd.DataFrame()
    row = {"test": "t", "backbone": "b", "strategy": "full", "reinitialise": "all", "labels": 100, "measure": "RR@10",
           "change": -0.1, "ci_low": -0.19, "ci_high": -0.01, "p": 0.03, "n": 40}  # fmt: skip
    effects = pd.DataFrame([row | {"p_corrected": 0.12}, row | {"p_corrected": 0.03}])
    findings = GridFindings("t", "RR@10", 0.95, 2, empty, effects, empty, empty)
    assert [s.state for s in findings.statements()] == ["not significant", "significant"]
    assert "p = 0.030, holm-corrected p = 0.120" in findings.statements()[0].text
    alone = replace(findings, seeds=1).statements()  # whose p is over queries, and knows of no other training
    assert [s.state for s in alone] == ["measured", "measured"]
    assert all("may change RR@10" in s.text and "single seed" in s.text for s in alone)


def test_tests_in_another_order_are_the_same_tests(settings: GridSettings, whole: tuple[Grid, Path]) -> None:
    other = prepare_grid(replace(settings, tests=settings.tests[::-1]))
    assert finished_cells(other, whole[1]) == len(other.cells)
    one, two = (gather(grid, run_grid(grid, whole[1])) for grid in (whole[0], other))
    assert [*one] == [*two][::-1]
    for name, scores in one.items():
        np.testing.assert_array_equal(scores.values, two[name].values)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"strategies": ("full", "lorra")}, "did you mean 'lora'"),
        ({"reinitialise": ("none", "topp:2")}, "unknown part 'topp:2'"),
        ({"objectives": ("mlm", "mln")}, "unknown objective 'mln'"),
        ({"training": TrainingSettings(batch_size=8)}, "make only 3 steps"),
    ],
)
def test_what_a_later_cell_would_stumble_over(settings: GridSettings, wrong: dict, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        prepare_grid(replace(settings, **wrong))


def test_infinite_worth_is_said_in_words(whole: tuple[Grid, Path]) -> None:
    empty = pd.DataFrame()
    document = grid_document(GridFindings("t", "RR@10", 0.95, 2, empty, empty, empty, pd.DataFrame([cell(np.inf)])))
    assert (document["worth"][0]["value"], document["worth"][0]["beyond"]) == ("above", 900)
