"""Every command on a tiny pair: results on standard output, notes on standard error, files where they belong."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import golden_texts as golden
import pytest
import torch
import zarr
from command_line import FEW, QUICK, Cli, Done
from safetensors.torch import load_file

from retroscope.cli.values import in_bytes
from retroscope.errors import SettingsError
from retroscope.files.documents import SCHEMA, read_document
from tiny_study import Tiny

DOCUMENTED = Path(__file__).parents[2] / "docs" / "reference" / "json.md"


def document(done: Done) -> dict[str, Any]:
    """The one JSON document on standard output."""
    assert done.code == 0, done.err

    def refuse(word: str) -> None:
        raise AssertionError(word)

    stored = json.loads(done.out, parse_constant=refuse)
    assert isinstance(stored, dict)
    assert stored["schema"] == SCHEMA
    page = DOCUMENTED.read_text(encoding="utf-8")
    assert [name for name in fields(stored) if f"`{name}`" not in page] == []
    return stored


def fields(found: dict[str, Any]) -> set[str]:
    """Names of the document, and of the records in its lists."""
    lists = [value[0] for value in found.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    return set(found).union(*lists)


def files(folder: Path) -> dict[str, bytes]:
    """Every file but the PDFs, which hold the time at which they were made."""
    found = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".pdf"]
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def folders(folder: Path) -> set[str]:
    """Names of the folders in it."""
    return {path.name for path in folder.iterdir() if path.is_dir()}


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    file.write_text("ana is a doctor\nwhich physician\nana is a doctor\n")
    return file


@pytest.fixture
def report(cli: Cli, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study in a folder with a space in its name; made once."""
    out = tmp_path_factory.getbasetemp() / "finished study"
    if not (out / "summary.json").exists():
        done = cli("compare", tiny.backbone, tiny.retriever, "--data", tiny.data, "--out", out, line=QUICK)
        assert done.code == 0, done.err
        assert "Did retrieval change?" in done.out
        assert "Verdict" not in done.out
        assert f"report: {out}/report.html" in done.err
    return out


def test_compare_leaves_a_whole_folder(report: Path) -> None:
    file_names = {path.name for path in report.iterdir()}
    assert file_names == {"report.html", "tables", "figures", "measured", "settings.yaml", "study.json", "summary.json"}
    assert folders(report / "measured") == {
        "retrieval", "layers", "probes", "baselines", "weights", "representations", "neurons", "transplants",
    }  # fmt: skip


def test_the_run_file_is_a_trec_run(report: Path) -> None:
    for side in ("before", "after"):
        (run,) = report.rglob(f"{side}.run")
        lines = run.read_text().splitlines()
        assert all(len(line.split(" ")) == 6 and line.split(" ")[1] == "Q0" for line in lines)


def test_report_writes_the_same_again(cli: Cli, report: Path, tmp_path: Path) -> None:
    before = files(report)
    done = cli("report", report)
    assert (done.code, done.out) == (0, "")
    after = files(report)
    assert [name for name in {**before, **after} if after.get(name) != before.get(name)] == []
    elsewhere = cli("report", report, "--out", tmp_path / "again", "--json")
    assert document(elsewhere) == read_document(report / "summary.json")
    again = files(tmp_path / "again")
    assert again == {name: content for name, content in before.items() if name in again}
    assert {Path(name).parts[0] for name in again} == {"report.html", "tables", "figures", "summary.json"}


def test_show_says_what_compare_said(cli: Cli, report: Path) -> None:
    done = cli("show", report)
    assert (done.code, done.err) == (0, "")
    assert "Did retrieval change?" in done.out
    everything = cli("show", report, "--all").out
    assert "Verdict" in everything
    summary = read_document(report / "summary.json")
    assert summary["answer"]["sentence"] in " ".join(done.out.split())
    assert [s["text"] for s in summary["statements"] if s["text"][:30] not in " ".join(everything.split())] == []
    assert document(cli("show", report, "--json")) == read_document(report / "summary.json")


@pytest.mark.parametrize(
    ("gate", "code", "says"),
    [
        ("RR@10 >= -1", 0, "gate 'RR@10 >= -1' holds: the lower end of the interval is"),
        ("RR@10 >= 1", 1, "gate 'RR@10 >= 1' does not hold"),
        ("rr@10 >= 0", 2, "did you mean 'RR@10'"),
        ("RR@10 on collektion >= 0", 2, "did you mean 'collection'?"),
    ],
)
def test_a_gate_decides_the_exit_code(cli: Cli, report: Path, gate: str, code: int, says: str) -> None:
    done = cli("show", report, "--gate", gate, "--gate", "R@10 > -1")
    assert (done.code, says in done.err) == (code, True), done.err


def test_an_unknown_measure_of_a_gate_is_refused_before_anything_is_run(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    pair = ("compare", tiny.backbone, tiny.retriever, "--data", tiny.data, "--out", tmp_path / "out", "--gate")
    unknown = cli(*pair, "nDCG@10 >= 0", line=QUICK)
    assert (unknown.code, "unknown measure of --gate 'nDCG@10'" in unknown.err) == (2, True)
    assert "in all about" not in unknown.err
    assert not (tmp_path / "out").exists()
    lost = cli(*pair, "RR@10 on other >= 0", line=QUICK)
    assert (lost.code, "unknown collection of --gate 'other'" in lost.err) == (2, True)
    assert not (tmp_path / "out").exists()


def test_a_model_card_takes_the_section(cli: Cli, report: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# My model\n")
    done = cli("card", report, "--into", readme)
    assert (done.code, done.out) == (0, "")
    assert readme.read_text().count("## What fine-tuning changed") == 1
    assert "model-index:" in cli("card", report).out
    missing = cli("card", report, "--json", "--into", tmp_path / "none.md")
    assert (missing.code, missing.out) == (2, ""), "nothing is printed before it is refused"


@pytest.mark.usefixtures("not_drawn")
def test_a_finished_study_of_something_else_is_not_replaced(cli: Cli, tiny: Tiny, report: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(report, tmp_path / "study")
    content = (copy / "study.json").read_bytes()
    words = ["compare", tiny.backbone, tiny.retriever, "--data", tiny.data, "--out", copy]
    done = cli(*words, line=QUICK.replace("--seeds 1", "--seeds 2"))
    assert done.code == 2
    assert "the output folder already holds the study " in done.err
    assert ", which has other settings than the new study" in done.err
    assert "\n  - probes.seeds: 1 in the folder, 2 in the new study\n  fix: repeat the earlier command" in done.err
    assert "--overwrite" in done.err
    assert (copy / "study.json").read_bytes() == content
    assert cli(*words, line=f"{FEW} --overwrite").code == 0
    assert (copy / "study.json").read_bytes() != content


def test_a_finished_study_is_a_settings_file(cli: Cli, tiny: Tiny, report: Path, tmp_path: Path) -> None:
    again = cli(
        "compare", tiny.backbone, tiny.retriever, "--data", tiny.data, "--out", tmp_path / "out",
        "--settings", report / "settings.yaml", "--dry-run", "--json",
    )  # fmt: skip
    assert document(again)["settings"] == read_document(report / "summary.json")["settings"]


@pytest.mark.usefixtures("not_drawn")
def test_compare_json(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    done = cli("compare", tiny.backbone, tiny.retriever, "--data", tiny.data, "--out", tmp_path, "--json", line=FEW)
    summary = document(done)
    assert summary == read_document(tmp_path / "summary.json")
    (retrieval,) = summary["analyses"]["retrieval"]
    assert (retrieval["collection"], set(retrieval["measures"])) == ("collection", {"RR@10", "R@10"})
    assert set(retrieval["measures"]["RR@10"]["before"]) == {"mean", "ci_low", "ci_high"}
    assert "in all about" in done.err


def test_two_towers_and_their_prompts(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    done = cli(
        "retrieve", f"query={tiny.backbone},passage={tiny.retriever}", "--data", tiny.data, "--json", "--out", tmp_path,
        "--query-prompt", "which ", "--passage-prompt", "ana ", "--max-length", "20", "--similarity", "dot",
        line="--pooling mean --measures RR@10 --limit-queries 30",
    )  # fmt: skip
    model = document(done)["analyses"]["health"]["models"]["model"]
    assert (model["name"], model["similarity"]) == ("backbone + retriever", "dot")
    recipes = {tower["role"]: tower["recipe"] for tower in model["towers"]}
    assert (recipes["query"]["prompt"], recipes["passage"]["prompt"]) == ("which ", "ana ")
    assert {recipe["max_length"] for recipe in recipes.values()} == {20}
    assert {recipe["sources"]["prompt"] for recipe in recipes.values()} == {"user"}
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html", "tables", "figures", "measured", "settings.yaml", "study.json", "summary.json",
    }  # fmt: skip
    assert (tmp_path / "measured" / "retrieval" / "0" / "model.run").exists()


def test_retrieve_json(cli: Cli, tiny: Tiny) -> None:
    summary = document(cli("retrieve", tiny.retriever, "--data", tiny.data, "--json", line="--pooling mean"))
    measures = summary["analyses"]["retrieval"]["measures"]
    assert list(measures) == ["nDCG@10", "RR@10", "R@10", "R@100"]
    record = measures["RR@10"]
    assert record["ci_low"] < record["mean"] < record["ci_high"]
    assert record["n"] == 90
    assert set(summary["analyses"]) == {"health", "retrieval"}
    layered = document(
        cli("retrieve", tiny.retriever, "--data", tiny.data, "--json", line="--pooling mean --layers --measures RR@10")
    )
    by_layer = layered["analyses"]["layers"]["layers"]
    assert [row["layer"] for row in by_layer] == [0, 1, 2]
    assert by_layer[2]["mean"] == pytest.approx(record["mean"])  # cosine of the last layer is the final one


def test_retrieval_needs_only_the_final_vectors(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    """The measures are those of a store of all layers, and the cache is a fraction of the size."""
    summaries, sizes = [], []
    for name, line in (("all", "--pooling mean"), ("final", "--pooling mean --store-layers final")):
        done = cli("retrieve", tiny.retriever, "--data", tiny.data, "--json", "--cache", tmp_path / name, line=line)
        summaries.append(document(done)["analyses"]["retrieval"])
        sizes.append(sum(file.stat().st_size for file in (tmp_path / name).rglob("c/**/*") if file.is_file()))
    assert summaries[0] == summaries[1]
    assert sizes[1] == pytest.approx(sizes[0] / 4, rel=0.01)  # three layers of the same width as the final vectors


def test_doctor(cli: Cli, tiny: Tiny) -> None:
    summary = document(cli("doctor", tiny.backbone, tiny.retriever, "--pooling", "mean", "--json"))
    assert summary["sound"]
    assert set(summary["models"]) == {"before", "after"}
    twice = cli("doctor", tiny.backbone, tiny.backbone, "--pooling", "mean")
    assert twice.code == 1
    assert "both are the same model" in twice.out
    assert "Traceback" not in twice.err
    alone = cli("doctor", tiny.backbone)
    assert alone.code == 1
    assert "does not record its pooling" in " ".join(alone.out.split())
    nowhere = cli("doctor", tiny.backbone.parent / "none")
    assert (nowhere.code, nowhere.out) == (2, "")


def test_transplant(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "t"
    words = ["transplant", tiny.backbone, tiny.retriever, "--data", tiny.data, "--out", out]
    line = "--pooling mean --measures RR@10 --transplants block:1,attention --passages 0 --set statistics.resamples=200"
    summary = document(cli(*words, "--json", line=line))
    assert summary == read_document(out / "summary.json")
    (swept,) = summary["analyses"]["transplants"]
    rows = {(row["direction"], row["transplant"]): row for row in swept["effects"]}
    assert set(rows) == {(d, t) for d in ("restored", "grafted") for t in ("block:1", "attention", "all")}
    assert rows["restored", "all"]["score"] == pytest.approx(rows["grafted", "all"]["intact"])
    assert rows["restored", "all"]["intact"] == pytest.approx(rows["grafted", "all"]["score"])
    printed = " ".join(cli(*words, line=line).out.split())
    assert "Restoring all of the backbone's weights in the retriever changes RR@10 from" in printed
    openings = [" ".join(s["text"].split()[:6]) for s in summary["statements"]]
    assert [opening for opening in openings if opening not in printed] == []
    shown = cli("show", out, "--all")
    assert (shown.code, " ".join(shown.out.split())) == (0, printed)
    assert "- transplants: retrieval was measured with 90 queries over 180 passages" in printed
    assert cli(*words, line="--pooling mean --transplants block:9").code == 2


def test_diff(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    done = cli("diff", tiny.backbone, tiny.retriever, "--out", tmp_path / "d", "--json")
    summary = document(done)
    assert summary == read_document(tmp_path / "d" / "diff.json")
    assert f"report: {tmp_path}/d/report.html" in done.err
    assert sum(summary["statuses"].values()) == len(summary["tensors"])
    printed = cli("diff", tiny.backbone, tiny.retriever, "--no-spectra")
    assert summary["statements"][0]["text"][:20] in printed.out
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.html").write_text("mine")
    for words in (
        ("diff", tiny.backbone, tiny.retriever),
        ("transplant", tiny.backbone, tiny.retriever, "--data", tiny.data, "--pooling", "mean"),
    ):
        refused = cli(*words, "--out", tmp_path / "mine")
        assert (refused.code, (tmp_path / "mine" / "report.html").read_text()) == (2, "mine")
        assert "belongs to something else" in refused.err
    again = ("--also", tiny.data, "--out", tmp_path / "e")
    twice = cli("compare", tiny.backbone, tiny.retriever, "--data", tiny.data, *again, line="--pooling mean")
    assert (twice.code, "have the same passages" in twice.err) == (2, True)
    same = cli("diff", tiny.backbone, tiny.backbone)
    assert (same.code, same.out.count("NOTHING CHANGED")) == (0, 1)


def test_probe_json(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    line = "--pooling mean --probes cosine,mdl --controls none --passages 2 --seeds 1 --json"
    summary = document(cli("probe", tiny.retriever, "--data", tiny.data, "--out", tmp_path, line=line))
    asked = {"model", "probe", "control", "n_passages", "layer", "accuracy", "ci_low", "ci_high", "seeds"}
    probed = summary["analyses"]["probes"]
    assert [row["layer"] for row in probed["records"]] == [0, 1, 2]
    assert asked <= set(probed["records"][0])
    assert {"control", "n_passages", "layer", "bits", "ci_low", "ci_high", "n"} <= set(probed["mdl"][0])
    assert set(probed["split_sizes"][0]) == {"train", "validation", "test"}
    measured = tmp_path / "measured"
    assert folders(measured) == {"probes"}
    assert {"values", "mdl"} <= folders(measured / "probes" / "0" / "scores.zarr" / "model")


def test_probe_text(cli: Cli, tiny: Tiny) -> None:
    line = "--pooling mean --probes cosine --controls none --passages 2,3 --seeds 1"
    done = cli("probe", tiny.retriever, "--data", tiny.data, line=line)
    assert done.code == 0
    assert [line for line in done.out.splitlines() if line.startswith("Accuracy")] == [
        "Accuracy by layer, N = 2 (chance 0.500): retriever on collection.",
        "Accuracy by layer, N = 3 (chance 0.333): retriever on collection.",
    ]
    cells = [line.split() for line in done.out.splitlines() if line.startswith("  cosine")]
    assert [len(row) for row in cells] == [2 + 3, 2 + 3]  # names, then three layers


def test_no_random_weights_are_made_where_no_probe_is_controlled_by_them(cli: Cli, tiny: Tiny) -> None:
    words = ("probe", tiny.retriever, "--data", tiny.data, "--dry-run", "--json")
    asked = {"none": ["model"], "none,random_weights": ["model", "random weights"]}
    for controls, models in asked.items():
        plan = document(cli(*words, line=f"--pooling mean --controls {controls}"))
        assert list(dict.fromkeys(tower["model"] for tower in plan["towers"])) == models
    line = (
        "--pooling mean --max-length 32 --controls none,random_weights --protocol ielab-2025"  # without, unless asked
    )
    towers = document(cli(*words, line=line))["towers"]
    assert [tower["model"] for tower in towers if tower["model"] == "random weights"]


def test_retrieve_text(cli: Cli, tiny: Tiny) -> None:
    done = cli("retrieve", tiny.retriever, "--data", tiny.data, line="--pooling mean --limit-queries 40")
    assert done.code == 0
    golden.check("retrieve", golden.without_numbers(done.out))


def test_embed(cli: Cli, tiny: Tiny, texts: Path, tmp_path: Path) -> None:
    line = "--pooling mean --json"
    summary = document(cli("embed", tiny.retriever, "--texts", texts, "--out", tmp_path / "v", line=line))
    assert (summary["texts"], summary["distinct"], summary["layers"]) == (3, 2, 3)
    vectors = zarr.open_group(tmp_path / "v", mode="r")["vectors"]
    assert isinstance(vectors, zarr.Array)
    assert vectors.shape == (3, 3, 32)
    done = cli("embed", tiny.retriever, "--texts", texts, "--out", tmp_path / "v", line="--pooling mean")
    assert (done.code, done.out) == (0, f"vectors of 3 texts: {tmp_path / 'v'}\n")


NEURONS = "--pooling mean --examples 4 --quadrature gauss:2 --fractions 0.05,0.5 --set neurons.ablation.draws=1"


def test_neurons_of_a_collection(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["neurons", tiny.retriever, "--data", tiny.data, "--cache", tmp_path / "cache", "--out", out, "--json"]
    summary = document(cli(*words, line=NEURONS))
    assert summary == read_document(out / "summary.json")
    assert folders(out / "measured") == {"neurons"}
    summary = summary["analyses"]["neurons"]
    assert (summary["examples"], len(summary["top"]), len(summary["ablation"]["table"])) == (4, 20, 4)
    assert {row["statistic"] for row in summary["statistics"]} >= {"total", "gap", "gini"}
    done = cli(*words[:-1], line=NEURONS)
    assert (done.code, "Verdict" in done.out) == (0, True)


def test_neurons_of_texts_in_the_published_layout(cli: Cli, tiny: Tiny, texts: Path, tmp_path: Path) -> None:
    words = ["neurons", tiny.retriever, "--texts", texts, "--out", tmp_path / "out", "--json"]
    summary = document(
        cli(*words, line="--pooling cls --protocol ielab-2025 --thresholds 0.1 --batch-size 2 --max-length 32")
    )
    assert list(summary["analyses"]) == ["health", "neurons"]
    assert summary["analyses"]["neurons"]["ablation"] is None
    published = json.loads((tmp_path / "out" / "neurons-0.1.json").read_text())
    assert list(published) == ["model", "encoder_type", "alpha", "threshold", "attributions"]
    assert [len(counts) for counts in published["attributions"].values()] == [64, 32, 64, 32]
    assert list(published["attributions"])[:2] == ["layer_0_intermediate", "layer_0_output"]


def test_neurons_describe_the_model_as_it_is_attributed(cli: Cli, tiny: Tiny, texts: Path, tmp_path: Path) -> None:
    """The published protocol searches texts padded to the maximum, and attributes batches padded to their longest."""
    line = "--pooling cls --protocol ielab-2025 --thresholds 0.1 --batch-size 2 --examples 4 --max-length 32"
    towers = []
    for number, source in enumerate((["--texts", texts], ["--data", tiny.data, "--no-ablation"])):
        words = ["neurons", tiny.retriever, *source, "--out", tmp_path / f"{number}", "--json"]
        document(cli(*words, line=line))
        facts = json.loads((tmp_path / f"{number}" / "study.json").read_text())
        towers.append(facts["models"]["model"]["towers"])
    assert towers[0] == towers[1]
    assert towers[0][0]["recipe"]["pad_to_max"] is False
    assert towers[0][0]["recipe"]["sources"]["pad_to_max"] == "protocol ielab-2025 (neurons)"


def test_neurons_want_one_source(cli: Cli, tiny: Tiny, texts: Path, tmp_path: Path) -> None:
    both = ["--data", tiny.data, "--texts", texts]
    for what, said in (([], "neither --data nor --texts is given"), (both, "both --data and --texts are given")):
        done = cli("neurons", tiny.retriever, *what, "--out", tmp_path / "out", line="--pooling mean")
        assert done.code == 2
        assert said in done.err
    line = "--pooling mean --target margin"
    done = cli("neurons", tiny.retriever, "--texts", texts, "--out", tmp_path / "out", line=line)
    assert "--texts gives only single texts" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("size", "count"), [("4GiB", 2**32), ("500MB", 5e8), ("2e9", 2e9), ("1.5 G", 1.5e9), ("7kib", 7168)]
)
def test_sizes(size: str, count: float) -> None:
    assert in_bytes(size) == count


@pytest.mark.parametrize("size", ["", "GiB", "-1", "4XB", "1.2.3G", "0"])
def test_wrong_sizes(size: str) -> None:
    with pytest.raises(SettingsError, match=r"--memory: invalid size .*\n  fix: use a number and a unit, e\.g\. 4GiB"):
        in_bytes(size)


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("command", ["compare", "retrieve", "probe", "neurons", "embed", "transplant"])
def test_a_dry_run_writes_nothing_but_token_ids(
    cli: Cli, tiny: Tiny, texts: Path, tmp_path: Path, command: str, as_json: bool
) -> None:
    models = [tiny.backbone, tiny.retriever] if command in ("compare", "transplant") else [tiny.retriever]
    what = ["--texts", texts] if command == "embed" else ["--data", tiny.data, "--cache", tmp_path / "cache"]
    words = [command, *models, *what, "--out", tmp_path / "out", "--dry-run", *(["--json"] if as_json else [])]
    done = cli(*words, line="--pooling mean")
    assert done.code == 0
    assert ("collection: 180 passages, 90 queries (90 judged)\n" in done.err) == (command != "embed")
    written = {path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*")}
    assert written <= {("cache",), ("cache", "tokens")}
    if as_json:
        plan = document(done)
        steps = {step["analysis"]: step for step in plan.get("analyses", ())}
        assert (plan["bytes"] > 0) == (command != "neurons"), "only what reads all vectors"
        assert {"neurons": "neurons", "transplant": "transplants"}.get(command) in {None, *steps}
    else:
        assert {"neurons": "neurons: target", "transplant": "MiB of vectors"}.get(command, "MiB in") in done.out


def test_the_text_of_a_dry_run(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    done = cli(
        "compare", tiny.backbone, tiny.retriever, "--data", tiny.data, "--out", tmp_path / "out", "--cache",
        tmp_path / "cache", "--dry-run", line="--pooling mean",
    )  # fmt: skip
    changed = done.out.replace(str(tiny.collection), "COLLECTION").replace(str(tmp_path), "TMP")
    golden.check("dry-run", golden.without_numbers(changed))


def test_a_dry_run_needs_no_output_folder(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    words = ("compare", tiny.backbone, tiny.retriever, "--data", tiny.data, "--cache", tmp_path / "cache")
    line = "--pooling mean --depth glance --dry-run --json"
    with_folder, without = (document(cli(*words, *out, line=line)) for out in (("--out", tmp_path / "out"), ()))
    assert without["settings"] == with_folder["settings"]
    assert [tower["key"] for tower in without["towers"]] == [tower["key"] for tower in with_folder["towers"]]
    refused = cli(*words, line="--pooling mean")
    assert (refused.code, "--out is missing" in refused.err) == (2, True)
    texts = tmp_path / "texts"
    texts.write_text("one\n")
    embedded = document(cli("embed", tiny.retriever, "--texts", texts, line="--pooling mean --dry-run --json"))
    assert (embedded["out"], embedded["texts"]) == (None, 1)


def test_a_precision_reaches_interventions_that_are_measured_and_no_others(
    cli: Cli, tiny: Tiny, tmp_path: Path
) -> None:
    words = ("compare", tiny.backbone, tiny.retriever, "--data", tiny.data, "--cache", tmp_path / "cache")
    line = "--pooling mean --precision bfloat16 --dry-run --json"
    settings = document(cli(*words, line=line))["settings"]
    assert settings["transplants"]["precision"] == settings["neurons"]["ablation"]["precision"] == "bfloat16"
    assert settings["neurons"]["attribution"]["precision"] == "float32"
    some = document(cli(*words, line=f"{line} --set neurons.ablation.precision=float16"))["settings"]
    assert (some["transplants"]["precision"], some["neurons"]["ablation"]["precision"]) == ("bfloat16", "float16")
    again = document(cli(*words, line=f"{line} --depth glance --set transplants.groups=2"))["settings"]
    assert (again["neurons"], again["transplants"]["precision"]) == (None, "bfloat16")
    stored = tmp_path / "settings.yaml"
    stored.write_text("transplants: {precision: float16}\n")
    above_file = document(cli(*words, "--settings", stored, line=line))["settings"]
    assert above_file["transplants"]["precision"] == "bfloat16", "an option overrides the settings file"
    refused = cli(*words, line=f"{line} --depth glance")
    assert (refused.code, refused.out) == (2, "")
    assert "--precision bfloat16 has no effect: no intervention of neurons, transplants runs in it" in refused.err


def test_baselines_are_left_out_where_that_is_asked(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    planned = []
    for option in ("", "--no-baselines"):
        done = cli(
            "compare", tiny.backbone, tiny.retriever, "--data", tiny.data, "--out", tmp_path / "out", "--dry-run",
            "--json", line=f"--pooling mean --no-neurons --no-transplants {option}",
        )  # fmt: skip
        plan = document(done)
        pooled = [tower["model"] for tower in plan["towers"] if "pooled by" in tower["model"]]
        steps = {step["analysis"] for step in plan["analyses"]}
        planned.append(("baselines" in steps, pooled, plan["settings"]["baselines"] is None))
    pools = [f"{model}, pooled by cls" for model in ("before", "random weights") for _ in ("query", "passage")]
    assert planned == [(True, pools, False), (False, [], True)]


def test_compare_asks_for_interactions_as_transplant_does(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    pair = (tiny.backbone, tiny.retriever, "--data", tiny.data, "--out", tmp_path / "out", "--dry-run", "--json")
    line = "--pooling mean --interactions 3"
    plans = (
        document(cli("compare", *pair, line=f"{line} --no-neurons --no-baselines")),
        document(cli("transplant", *pair, line=line)),
    )
    for plan in plans:
        (step,) = [one for one in plan["analyses"] if one["analysis"] == "transplants"]
        assert (plan["settings"]["transplants"]["interactions"], step["subsets"]) == (3, 7)
    refused = cli("compare", *pair, line=f"{line} --no-transplants")
    assert (refused.code, "or leave out --no-transplants" in refused.err) == (2, True)
    assert cli("compare", *pair, line="--pooling mean --interactions 7").code == 2


def test_a_dry_run_says_what_is_stored(cli: Cli, tiny: Tiny) -> None:
    cli("retrieve", tiny.retriever, "--data", tiny.data, line="--pooling mean")
    done = cli("retrieve", tiny.retriever, "--data", tiny.data, line="--pooling mean --dry-run --json")
    assert [tower["stored"] for tower in document(done)["towers"]] == [True, True]


@pytest.mark.parametrize("command", ["retrieve", "probe", "embed"])
def test_a_protocol_reaches_every_room(cli: Cli, tiny: Tiny, texts: Path, tmp_path: Path, command: str) -> None:
    what = ["--texts", texts] if command == "embed" else ["--data", tiny.data]
    words = [
        command,
        tiny.retriever,
        *what,
        "--out",
        tmp_path / "out",
        "--protocol",
        "ielab-2025",
        "--dry-run",
        "--json",
    ]
    summary = document(cli(*words, line="--pooling mean --max-length 32"))
    recipe = summary["tower"]["recipe"] if command == "embed" else summary["towers"][0]["recipe"]
    assert recipe["pad_to_max"] is True
    if command != "embed":
        assert summary["settings"]["protocol"] == "ielab-2025"
        assert command == "retrieve" or summary["settings"]["probes"]["protocol"] == "ielab-2025"
        assert summary["settings"]["statistics"]["test"] == "unpaired_t"


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo with little to read, models of three steps and one probe."""
    from retroscope.collection.world.people import WorldSettings
    from retroscope.probing import settings
    from retroscope.probing.splits import disjoint_split
    from retroscope.study import demo

    monkeypatch.setattr(demo, "WORLD", WorldSettings(people=500, documents=2))
    monkeypatch.setattr(demo, "PRETRAINED", replace(demo.PRETRAINED, steps=3, batch_size=8, checkpoints=1))
    monkeypatch.setattr(demo, "TRAINED", replace(demo.TRAINED, steps=3, batch_size=8, evaluations=1))
    quick = settings.Protocol(split=disjoint_split, probes=("cosine",), controls=("none",))
    monkeypatch.setitem(settings.PROTOCOLS, "default", quick)


@pytest.mark.usefixtures("small_demo")
def test_demo_remade(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    summary = document(cli("demo", "--retrain", "--out", out, "--json"))
    cards = summary["answer"]["cards"]
    printed = " ".join([summary["answer"]["sentence"], *(f"{c['question']} {c['answer']} {c['state']}" for c in cards)])
    numbers = [c for c in cards if c["effect"] is not None]
    assert len(re.findall(r"\S*\w\S*", printed)) + 4 * len(numbers) <= 120
    assert cards[0]["question"] == "Did retrieval change?"
    assert summary["analyses"]["health"]["models"]["before"]["name"] == "backbone"
    assert [one["collection"] for one in summary["analyses"]["retrieval"]] == ["world"]
    rows = json.loads((out / "exposures.json").read_text())
    assert len(rows) == 2 * 5
    assert all(row["ci_low"] <= row["mean"] <= row["ci_high"] for row in rows)
    for model in ("backbone", "retriever", "scratch"):
        weights = load_file(out / "models" / model / "model.safetensors")
        assert {value.dtype for value in weights.values()} == {torch.float16}, "shipped in half precision"
        said = [(out / "models" / model / name).read_text() for name in ("README.md", "training.json")]
        assert str(out) not in "".join(said), "no path of the machine is shipped"
