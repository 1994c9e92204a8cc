"""The study of universality: its page says what its committed results say, its controls can fail, its runs resume."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
NAMES = (
    "universality_shapes", "universality_cells", "universality_claims", "universality_numbers", "universality_page",
    "universality",
)  # fmt: skip
QUOTED = re.compile(r"[+-]?\d\.\d{3} \[[+-]?\d\.\d{3}, [+-]?\d\.\d{3}\]")


@pytest.fixture(scope="module")
def made() -> Iterator[dict[str, ModuleType]]:
    """Return the modules of the benchmark by name."""
    sys.path.insert(0, str(BENCHMARKS))
    modules = {name: __import__(name) for name in NAMES}
    yield modules
    sys.path.remove(str(BENCHMARKS))
    for name in NAMES:
        del sys.modules[name]


def test_the_page_is_made_of_the_results(made: dict[str, ModuleType]) -> None:
    page = made["universality_page"]
    results = page.read_results(page.HOME / page.DATA)
    text = (page.HOME / page.PAGE).read_text("utf-8")
    lines = page.marked(results)
    assert page.filled(text, lines) == text, "run `python benchmarks/universality.py --page`"
    assert all(f"<!-- {name} -->" in text for name in lines)


def test_every_number_with_an_interval_on_the_page_is_in_the_results(made: dict[str, ModuleType]) -> None:
    page = made["universality_page"]
    results = page.read_results(page.HOME / page.DATA)
    columns = (("value", "low", "high"), ("share", "low", "high"), ("gap", "gap_low", "gap_high"))
    known = {
        f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
        for frame, names, sign in product(results.tables.values(), columns, ("", "+"))
        if {*names} <= {*frame}
        for value, low, high in frame[list(names)].itertuples(index=False)
    }
    quoted = QUOTED.findall((page.HOME / page.PAGE).read_text("utf-8"))
    assert len(quoted) > 50
    assert not [one for one in quoted if one not in known]


def cell(strata: dict[str, str], rank: dict[str, int], seed: int) -> dict[str, object]:
    """Return a result in which questions of a stratum have one rank, and one question a better one."""
    ranks = {
        query: max(1, rank[stratum] - (number + seed) % 2) for number, (query, stratum) in enumerate(strata.items())
    }
    sides = {side: {"all": ranks, "peers": ranks} for side in ("before", "after")}
    return {"parameters": 100, "ranks": sides}


def strata_of() -> dict[str, str]:
    return {f"{stratum}{n}": stratum for stratum in ("known", "unknown", "lexical") for n in range(20)}


def controls_of(made: dict[str, ModuleType], unknown_rank: int) -> list[str]:
    """Return the controls of one architecture whose unknown people are found at a rank."""
    strata, page = strata_of(), made["universality_page"]
    ranks = {"known": 2, "unknown": unknown_rank, "lexical": 2}
    cells = {("architecture", "BERT, mean"): [cell(strata, ranks, seed) for seed in range(3)]}
    found = pd.DataFrame(made["universality_numbers"].found_rows(cells, strata))
    return list(page.control_rows(page.Results({"found": found}, {"chance": 0.156})))


def test_a_control_passes_at_chance_and_fails_where_unknown_people_are_found(made: dict[str, ModuleType]) -> None:
    at_chance, leaked = controls_of(made, 11), controls_of(made, 3)
    assert len(at_chance) == len(leaked) == 2
    assert all("**passes**" in line for line in at_chance)
    assert all("**fails**" in line for line in leaked)


def test_a_control_that_could_hide_a_leak_is_undecided(made: dict[str, ModuleType]) -> None:
    said = made["universality_page"].control_outcome
    assert said({"low": 0.4, "high": 0.6}, 0.5, above=False) == "passes"
    assert said({"low": 0.1, "high": 0.9}, 0.5, above=False) == "undecided"
    assert said({"low": 0.51, "high": 0.6}, 0.5, above=False) == "fails"
    assert said({"low": 0.1, "high": 0.9}, 0.5, above=True) == "fails"
    assert said({"low": 0.51, "high": 0.9}, 0.5, above=True) == "passes"


def test_an_arm_is_against_the_reference_what_was_planted(made: dict[str, ModuleType]) -> None:
    strata, numbers = strata_of(), made["universality_numbers"]
    ranks = {"BERT, mean": 2, "worse": 40, "same": 2}
    cells = {
        ("architecture", name): [
            cell(strata, dict.fromkeys(("known", "unknown", "lexical"), rank), s) for s in range(3)
        ]
        for name, rank in ranks.items()
    }
    rows = {row["arm"]: row for row in numbers.contrasts(cells, strata)}
    assert set(rows) == {"worse"}
    assert rows["worse"]["outcome"] == "lower"
    assert rows["worse"]["value"] == -1


def test_the_share_of_a_planted_factor_is_found(made: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    strata, numbers = strata_of(), made["universality_numbers"]
    monkeypatch.setattr(numbers, "DRAWS", 10)
    cells = {
        ("strategy", f"{objective}, {strategy}"): [
            cell(strata, dict.fromkeys(("known", "unknown", "lexical"), rank), s) for s in range(3)
        ]
        for (objective, rank), strategy in product({"a": 5, "b": 40}.items(), ("full", "head"))
    }
    rows = {row["effect"]: row for row in numbers.share_rows(cells, strata, ("a", "b"), ("full", "head"))}
    assert rows["objective"]["share"] > 0.99
    assert rows["strategy"]["share"] < 0.01


def test_architectures_of_other_sizes_are_refused(made: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    main = made["universality"]
    for second, refused in ((109, False), (112, True)):
        cells = [("a", {"parameters": 100}, 0), ("b", {"parameters": second}, 0)]
        monkeypatch.setattr(main, "finished", lambda *_, cells=cells: iter(cells))
        if refused:
            with pytest.raises(ValueError, match="differ by more than 10%"):
                main.check_parity(None, None)
        else:
            main.check_parity(None, None)


def test_shuffled_facts_never_link_a_name_with_its_own_alias(made: dict[str, ModuleType]) -> None:
    cells = made["universality_cells"]
    world = cells.world_of(cells.Scale())
    known = [person for person in world.people if person.known]
    linked = {
        shuffled: sum(
            person.name in text.lower() and person.alias in text.lower()
            for text in map(str, cells.pretraining_text(world, shuffled=shuffled))
            for person in (replace(one, name=one.name.lower(), alias=one.alias.lower()) for one in known)
        )
        for shuffled in (False, True)
    }
    assert linked[False] > len(known)
    assert linked[True] == 0
    assert len(cells.pretraining_text(world, shuffled=True)) == len(world.pretraining)


def test_both_halves_of_the_two_t5_are_of_one_size(made: dict[str, ModuleType]) -> None:
    cells = made["universality_cells"]
    shapes, scale = made["universality_shapes"], cells.Scale()
    tokenizer = cells.train_tokenizer(["a b c"] * 3, "words", "t5", max_length=64)
    encoder = shapes.SHAPES["t5"][1](scale, tokenizer).get_encoder()
    whole = shapes.SHAPES["t5both"][1](scale, tokenizer)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (encoder, whole)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def command(work: Path, out: Path) -> list[str]:
    script = str(BENCHMARKS / "universality.py")
    return [sys.executable, script, "--tiny", "--parts", "control", "--work", str(work), "--out", str(out)]


def test_a_killed_run_ends_with_the_same_files(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(tmp_path / "a", whole), check=True, env=environment, capture_output=True)
    running = subprocess.Popen(command(tmp_path / "b", killed), env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list((tmp_path / "b").glob("backbones/*/checkpoints")) and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert list((tmp_path / "b").glob("cells/*.json")), "no cell was finished before"
    assert not (killed / "found.csv").exists()
    subprocess.run(command(tmp_path / "b", killed), check=True, env=environment, capture_output=True)
    names = sorted(file.name for file in whole.iterdir())
    assert names == sorted(file.name for file in killed.iterdir())
    assert "found.csv" in names
    assert all((whole / name).read_bytes() == (killed / name).read_bytes() for name in names)


def test_results_of_another_scale_are_refused(made: dict[str, ModuleType], tmp_path: Path) -> None:
    cells = made["universality_cells"]
    arm = cells.Arm()
    (tmp_path / "cells").mkdir()
    scale = {**vars(made["universality_shapes"].TINY), "steps": 4}
    (tmp_path / "cells" / f"{arm.name(0)}.json").write_text(f'{{"scale": {str(scale).replace(chr(39), chr(34))}}}')
    with pytest.raises(ValueError, match="another scale"):
        cells.run_cell(made["universality_shapes"].TINY, arm, 0, tmp_path)


def test_ranks_among_peers_are_of_people_of_one_exposure(made: dict[str, ModuleType]) -> None:
    cells = made["universality_cells"]
    scale = cells.Scale()
    world = cells.world_of(scale)
    pools = {pool: cells.held_out(world, pool) for pool in cells.POOLS}
    assert len(pools["all"].passages) == scale.people
    people = {person.id: person.stratum for person in world.people}
    for pool in ("known", "unknown"):
        assert {people[passage] for passage in pools[pool].passages} == {f"{pool}-held-out"}
    sizes = {pool: len(pools[pool].passages) for pool in ("known", "unknown")}
    assert sizes["known"] == sizes["unknown"], "the share of peers counts both alike"
    assert np.sum([*sizes.values()]) < scale.people


def test_a_model_whose_vectors_are_all_one_finds_nothing(made: dict[str, ModuleType]) -> None:
    class Collapsed:
        def encode_document(self, texts: list[str], **_: object) -> np.ndarray:
            return np.ones((len(texts), 2), dtype=np.float32)

        encode_query = encode_document

    cells = made["universality_cells"]
    collection = cells.held_out(cells.world_of(cells.Scale()), "known")
    assert set(cells._ranked(Collapsed(), collection).values()) == {len(collection.passages)}
