"""compare with several retrievers, and report, show and gates of what it leaves."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from command_line import FEW, Cli
from test_commands import document

from retroscope.analyses.layers import measure as layers
from retroscope.files.documents import read_document
from retroscope.representations.windows import WindowWorker
from retroscope.study.study import load_study
from tiny_study import Tiny, further_trainings


@pytest.fixture(scope="session")
def rivals(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    home = tmp_path_factory.mktemp("rivals")
    further_trainings(tiny, home)
    return [tiny.retriever, home / "training-1", home / "training-2"]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the windows that are encoded from now on, by the name of their model."""
    windows: Counter[str] = Counter()
    compute = WindowWorker.compute

    def counting(self: WindowWorker, payload: Any) -> Any:
        windows[self.encoder.name] += 1
        return compute(self, payload)

    monkeypatch.setattr(WindowWorker, "compute", counting)
    return windows


@pytest.fixture
def words(tiny: Tiny, rivals: list[Path], tmp_path: Path) -> list[str | Path]:
    """Everything of a command but its options, in a cache and a folder of its own."""
    return [
        "compare",
        tiny.backbone,
        *rivals,
        "--data",
        tiny.data,
        "--out",
        tmp_path / "set",
        "--cache",
        tmp_path / "c",
    ]


def test_a_set_costs_the_encodings_of_the_new_models_only(
    cli: Cli, words: list[str | Path], encoded: Counter[str], tmp_path: Path
) -> None:
    planned = document(cli(*words, "--dry-run", "--json", line=FEW))
    assert [one["name"] for one in planned["studies"]] == ["retriever", "training-1", "training-2"]
    assert planned["seconds"] == pytest.approx(sum(one["seconds"] for one in planned["studies"]))
    stored = [[t["stored"] for t in one["towers"] if t["model"] == "before"] for one in planned["studies"]]
    assert stored == [[False, False], [True, True], [True, True]]
    assert not (tmp_path / "set").exists()

    done = cli(*words, line=FEW)
    assert done.code == 0, done.err
    assert dict(encoded) == dict.fromkeys(("backbone", "retriever", "training-1", "training-2"), 2)
    assert len(re.findall("^in all about", done.err, re.MULTILINE)) == 1, "one total"
    assert done.out.startswith("Overview of 3 studies\n\nOn collection, RR@10 rose significantly in ")
    out = tmp_path / "set"
    assert {path.name for path in out.iterdir()} == {
        "report.html", "studies.json", "retriever", "training-1", "training-2",
    }  # fmt: skip
    assert load_study(out / "training-1").subject.is_finished

    encoded.clear()
    fewer = [one for one in words if one != words[3]]
    again = cli(*fewer, line=FEW)
    assert (again.code, encoded) == (0, Counter()), "finished studies are read"
    assert again.err.count("measured before: the study in its folder is read") == 2


def test_report_and_show_of_a_set(cli: Cli, words: list[str | Path], tmp_path: Path) -> None:
    done = cli(*words, "--json", line=FEW)
    made = document(done)
    out = tmp_path / "set"
    stored = read_document(out / "studies.json")
    assert {name: value for name, value in stored.items() if name != "folders"} == made
    page = (out / "report.html").read_bytes()
    shown = cli("show", out)
    assert (shown.code, "Highest: " in shown.out, shown.err) == (0, True, "")
    assert document(cli("show", out, "--json")) == made
    (out / "report.html").unlink()
    assert cli("report", out).code == 0
    assert (out / "report.html").read_bytes() == page
    apart = cli("report", out / "retriever", out / "training-2", "--out", tmp_path / "two.html", "--json")
    assert [one["name"] for one in document(apart)["studies"]] == ["retriever", "training-2"]
    whole = document(cli("report", out, "--out", tmp_path / "three.html", "--json"))
    assert next(one["page"] for one in whole["studies"]) == "set/retriever/report.html"
    nameless = cli("report", out / "retriever", out / "training-2")
    assert (nameless.code, "--out runs/overview.html" in nameless.err) == (2, True)
    own = cli("report", out / "retriever", out / "training-2", "--out", out / "retriever" / "report.html")
    assert (own.code, "the overview would overwrite this file, which is not an overview" in own.err) == (2, True)
    for gate, code in (("RR@10 >= -1", 0), ("RR@10 >= 1", 1), ("rr@10 >= 1", 2)):
        judged = cli("show", out, "--gate", gate)
        assert judged.code == code
        assert code == 2 or judged.err.count(f"gate '{gate}'") == 3, "every study is judged"


def test_an_interrupted_set_goes_on_with_the_study_that_was_stopped(
    cli: Cli, words: list[str | Path], encoded: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tmp_path / "set", layers.rank_by_layers
    calls: list[str] = []

    def stopping(vectors: Any, *given: Any) -> Any:
        calls.append(vectors.name)
        if vectors.name == "training-1":
            raise KeyboardInterrupt
        return whole(vectors, *given)

    monkeypatch.setattr(layers, "rank_by_layers", stopping)
    stopped = cli(*words, line=FEW)
    assert stopped.code == 130
    assert f"report so far: {out}/report.html" in stopped.err
    assert read_document(out / "studies.json")["not_yet_run"] == ["training-1", "training-2"]
    assert load_study(out / "training-1").subject.pending == ("layers",)
    assert not (out / "training-2" / "study.json").exists()
    monkeypatch.setattr(layers, "rank_by_layers", whole)
    encoded.clear()
    mended = cli(*words, line=FEW)
    assert mended.code == 0, mended.err
    assert dict(encoded) == {"training-2": 2}, "nothing is encoded again"
    assert "retriever: read, since it was measured before" in mended.err
    assert read_document(out / "studies.json")["not_yet_run"] == []


def test_names_that_are_alike_are_refused_before_anything_is_loaded(
    cli: Cli, tiny: Tiny, rivals: list[Path], tmp_path: Path
) -> None:
    base = ("compare", tiny.backbone, rivals[0], rivals[0], "--data", tiny.data, "--out", tmp_path / "set")
    alike = cli(*base, line=FEW)
    assert (alike.code, "these retrievers share a name" in alike.err, "--name-after" in alike.err) == (2, True, True)
    assert "loading torch" not in alike.err
    short = cli(*base, "--name-after", "one", line=FEW)
    assert (short.code, "--name-after is given 1 time for 2 retrievers" in short.err) == (2, True)
    path = cli(*base, "--name-after", "..", "--name-after", "two", line=FEW)
    assert (path.code, "'..' has no letter or digit" in path.err) == (2, True)
    taken = cli(*base, "--name-after", "figures", "--name-after", "two", line=FEW)
    assert (taken.code, "'figures' is reserved for a folder of each study" in taken.err) == (2, True)
    trained = cli(*base, "--training", rivals[1], "--name-after", "a", "--name-after", "b", line=FEW)
    assert (trained.code, "--training needs exactly one retriever" in trained.err) == (2, True)
    planned = cli(*base, "--name-after", "a", "--name-after", "b", "--dry-run", line=FEW)
    assert (planned.code, "study 2 of 2: b" in planned.out) == (0, True)
    without_folder = [one for one in base if one not in ("--out", tmp_path / "set")]
    planned = cli(*without_folder, "--name-after", "a", "--name-after", "b", "--dry-run", line=FEW)
    assert (planned.code, "study 2 of 2: b" in planned.out) == (0, True)
    assert os.listdir(tmp_path) == []


def test_a_set_and_a_study_do_not_replace_one_another(cli: Cli, words: list[str | Path], tmp_path: Path) -> None:
    out = tmp_path / "set"
    alone = [*words[:3], *words[5:]]
    assert cli(*alone, line=FEW).code == 0
    refused = cli(*words, line=FEW)
    assert (refused.code, "belongs to something else" in refused.err) == (2, True)
    assert load_study(out).subject.is_finished


def test_time_is_shared_by_all_studies_of_a_set(cli: Cli, words: list[str | Path]) -> None:
    line = "--pooling mean --measures RR@10 --no-transplants --no-baselines"
    more = document(cli(*words, "--dry-run", "--json", "--time", "all", line=line))
    time = f"{0.7 * more['seconds']:.0f}s"
    few = document(cli(*words, "--dry-run", "--json", "--time", time, line=line))
    for planned in (few, more):
        sizes = [{name: one["settings"][name] for name in ("probes", "neurons")} for one in planned["studies"]]
        assert sizes[0] == sizes[1] == sizes[2], "one size for all, so that they may be compared"
    assert few["seconds"] < 0.85 * more["seconds"]
    assert few["studies"][0]["settings"] != more["studies"][0]["settings"]
    short = cli(*words, "--dry-run", "--time", "1s", line=line)
    assert (short.code, "is too short for 3 studies" in short.err) == (2, True)
