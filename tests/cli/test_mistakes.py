"""A user's mistake: exit code 2, the message on standard error, no traceback, nothing written."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import QUICK, Cli, Done

from tiny_study import Tiny


def refused(done: Done, message: str) -> None:
    assert done.code == 2, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert re.search(message, done.err), done.err


MISTAKES: dict[str, tuple[str, str]] = {
    "folder": ("retrieve {tmp}/none --data {data} --pooling mean", "there is no checkpoint at '.*none'"),
    "hub name": ("retrieve no-such/model-at-all --data {data}", "cannot get checkpoint 'no-such/model-at-all'"),
    "no pooling": ("retrieve {model} --data {data}", r"does not record its pooling.*\n  fix: .*--pooling"),
    "pooling": ("retrieve {model} --data {data} --pooling men", r"unknown pooling 'men'\n  fix: did you mean 'mean'"),
    "measure": (
        "retrieve {model} --data {data} --pooling mean --measures RR@10,NDGC@10",
        r"unknown measure 'NDGC@10'\n  fix: did you mean 'nDCG@10'",
    ),
    "probe": ("probe {model} --data {data} --pooling mean --probes cosin", "unknown probe 'cosin'"),
    "control": ("probe {model} --data {data} --pooling mean --controls nome", r"unknown control 'nome'"),
    "protocol": ("retrieve {model} --data {data} --protocol ielab", r"unknown protocol 'ielab'\n  fix: .*ielab-2025"),
    "device": ("retrieve {model} --data {data} --pooling mean --device gpu", r"unknown device 'gpu'\n  fix: use 'cpu'"),
    "no device": (
        "retrieve {model} --data {data} --pooling mean --device cuda:99",
        "device 'cuda:99' is not available",
    ),
    "similarity": ("retrieve {model} --data {data} --pooling mean --similarity dott", "did you mean 'dot'"),
    "length": ("retrieve {model} --data {data} --pooling mean --max-length 0", "max_length is 0"),
    "passages": (
        "probe {model} --data {data} --pooling mean --passages a",
        r"invalid number 'a'\n  fix: write whole numbers",
    ),
    "no passages": ("probe {model} --data {data} --pooling mean --passages 1", "passages is 1"),
    "seeds": ("probe {model} --data {data} --pooling mean --seeds 0", "seeds is 0"),
    "limit": ("retrieve {model} --data {data} --pooling mean --limit-queries 0", "limit_queries is 0"),
    "few": (
        "probe {model} --data {data} --pooling mean --limit-queries 9 --passages 2",
        "too few probe examples are left",
    ),
    "layers to store": (
        "retrieve {model} --data {data} --pooling mean --store-layers last",
        r"--store-layers: invalid layers 'last'\n  fix: write final, or numbers",
    ),
    "layers that are read": (
        "retrieve {model} --data {data} --pooling mean --layers --store-layers final",
        r"the layers to store are none \(only the final vectors\), but these analyses need all layers: layers\n  fix",
    ),
    "layers that are read by a comparison": (
        "compare {model} {model} --data {data} --pooling mean --set extraction.layers=[0]",
        r"the layers to store are 0, but these analyses need all layers: baselines, layers, ",
    ),
    "layers that are not there": (
        "retrieve {model} --data {data} --pooling mean --store-layers 0,7",
        r"layer 7 is to be stored, but the last layer of .* is 2\n  fix: give layers from 0 to 2",
    ),
    "setting": (
        "retrieve {model} --data {data} --pooling mean --set mesures=[RR]",
        r"unknown setting 'mesures'\n  fix: did you mean 'measures'",
    ),
    "type": ("probe {model} --data {data} --pooling mean --set probes.rank=many", r"rank: .*'many'"),
    "assignment": ("probe {model} --data {data} --pooling mean --set probes.rank", "invalid assignment 'probes.rank'"),
    "yaml": ("probe {model} --data {data} --pooling mean --set probes.passages=[2", "not YAML"),
    "settings file": ("retrieve {model} --data {data} --settings {tmp}/none.yaml", "this settings file does not exist"),
    "towers": ("retrieve qeury=a,passage=b --data {data}", "invalid model 'qeury=a,passage=b'"),
    "data": ("retrieve {model} --data beir:{tmp}/none --pooling mean", "none: no such file or folder"),
    "prefix": (
        "retrieve {model} --data bier:{tmp} --pooling mean",
        r"unknown prefix 'bier'\n  fix: did you mean 'beir'",
    ),
    "format": ("retrieve {model} --data {tmp} --pooling mean", "no format fits"),
    "texts": ("embed {model} --pooling mean --texts {tmp}/none.txt", "none.txt: no such file"),
    "tower": ("embed {model} --pooling mean --texts {texts} --tower qury", r"unknown tower 'qury'.*\n  fix: .*'query'"),
    "study": ("show {tmp}/none", "this folder does not exist"),
    "report": ("report {tmp}/none", "this folder does not exist"),
    "card": ("card {tmp}/none", "this folder does not exist"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused(
    cli: Cli, tiny: Tiny, tmp_path: Path, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    line, message = MISTAKES[name]
    texts = tmp_path_factory.mktemp("texts") / "texts.txt"
    texts.write_text("ana\n")
    filled = line.format(tmp=tmp_path, data=tiny.data, model=tiny.retriever, texts=texts)
    out = "" if line.startswith(("show", "card")) else f" --out {tmp_path}/out"
    cache = f" --cache {tmp_path}/cache" if line.startswith(("retrieve", "probe")) else ""
    refused(cli(line=filled + out + cache), message)
    assert list(tmp_path.rglob("*")) == []


def broken(tiny: Tiny, folder: Path, change: Callable[[Path], None]) -> str:
    shutil.copytree(tiny.collection, folder)
    change(folder)
    return f"beir:{folder}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "corpus.jsonl").write_text('{"_id": "p0"\n'), r"corpus\.jsonl"),
        (lambda f: (f / "corpus.jsonl").write_text('{"_id": "p0", "text": "a"}\n'), "p90"),
        (lambda f: (f / "qrels" / "test.tsv").unlink(), "qrels"),
        (lambda f: (f / "queries.jsonl").write_bytes(b"\xff\xfe"), r"queries\.jsonl"),
    ],
    ids=["json", "dangling", "no qrels", "encoding"],
)
def test_broken_data_are_refused(
    cli: Cli, tiny: Tiny, tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    data = broken(tiny, tmp_path / "data", change)
    done = cli("compare", tiny.backbone, tiny.retriever, "--data", data, "--out", tmp_path / "out", line=QUICK)
    refused(done, message)
    assert not (tmp_path / "out").exists()


def test_ids_that_a_run_file_cannot_hold_are_refused_at_once(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    def rename(folder: Path) -> None:
        for file in folder.rglob("*.*"):
            file.write_text(file.read_text().replace("p90", "p 90"))

    data = broken(tiny, tmp_path / "data", rename)
    words = ["retrieve", tiny.retriever, "--data", data, "--cache", tmp_path / "cache"]
    refused(cli(*words, "--out", tmp_path / "out", line="--pooling mean"), r"white space.*\n  - 'p 90'")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache").exists()
    refused(cli(*words, line="--pooling mean"), r"white space.*\n  - 'p 90'")  # kept until it ends


@pytest.mark.parametrize("command", ["compare", "retrieve", "demo", "embed"])
def test_an_out_that_cannot_be_written_is_refused_before_anything_is_measured(
    cli: Cli, tiny: Tiny, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "texts").write_text("ana\n")
    out = tmp_path / "file" / "below" if command == "embed" else tmp_path / "file"
    words: dict[str, list[str | Path]] = {
        "compare": [tiny.backbone, tiny.retriever, "--data", tiny.data, "--pooling", "mean"],
        "retrieve": [tiny.retriever, "--data", tiny.data, "--pooling", "mean"],
        "demo": [],
        "embed": [tiny.retriever, "--texts", tmp_path / "texts", "--pooling", "mean"],
    }
    done = cli(command, *words[command], "--out", out)
    refused(done, r"file: this folder cannot be written to: .*\n  fix: give another folder")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    words = ["compare", tiny.backbone, tiny.retriever, "--data", tiny.data, "--out", tmp_path / "locked" / "out"]
    refused(cli(*words, line=QUICK), "this folder cannot be written to: Permission denied")


def test_different_depths_are_refused_before_the_plan(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    shallow = AutoModel.from_pretrained(tiny.retriever, num_hidden_layers=1)
    shallow.config.num_hidden_layers = 1
    shallow.save_pretrained(tmp_path / "shallow")
    AutoTokenizer.from_pretrained(tiny.retriever).save_pretrained(tmp_path / "shallow")
    words = ["compare", tiny.backbone, tmp_path / "shallow", "--data", tiny.data, "--out", tmp_path / "out"]
    refused(cli(*words, line=f"{QUICK} --dry-run"), "layers cannot be paired: backbone has 2 blocks, shallow has 1")


def test_an_interrupted_command_says_how_to_go_on(
    cli: Cli, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["retrieve", tiny.retriever, "--data", tiny.data, "--cache", tmp_path / "cache", "--out", tmp_path / "out"]

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retroscope.analyses.context.extract_towers", interrupt)
        done = cli(*words, line="--pooling mean --json")
    assert (done.code, done.out) == (130, "")
    assert "interrupted (Ctrl-C); finished measurements are kept; repeat the command to continue" in done.err
    assert "Traceback" not in done.err
    assert cli(*words, line="--pooling mean --json").code == 0


def test_a_fault_of_ours_is_not_dressed_up_as_the_users(cli: Cli, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("retroscope.analyses.context.extract_towers", fail)
    with pytest.raises(ZeroDivisionError):
        cli("retrieve", tiny.retriever, "--data", tiny.data, line="--pooling mean")


@pytest.mark.usefixtures("not_drawn")
def test_names_with_markup_are_text_everywhere(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    wild = tmp_path / "<b>[bold] & x=1[" / "<i>model"
    for parent, folder in (("A", tiny.backbone), ("B", tiny.retriever)):
        shutil.copytree(folder, wild / parent / "model")
    out = tmp_path / "o ut"
    words = ["compare", wild / "A" / "model", wild / "B" / "model", "--data", tiny.data, "--out", out]
    done = cli(*words, line=QUICK)
    assert done.code == 0, done.err
    assert "B/model compared with A/model on collection" in done.out
    assert "<i>model" not in (out / "report.html").read_text()
    (run,) = out.rglob("before.run")
    assert run.read_text().splitlines()[0].endswith(" A/model")


def test_no_study_is_written_among_its_inputs(cli: Cli, tiny: Tiny) -> None:
    before = sorted(tiny.collection.iterdir())
    words = ["retrieve", tiny.retriever, "--data", tiny.data, "--pooling", "mean"]
    for out, what in ((tiny.collection, "a collection"), (tiny.retriever, "a model")):
        for dry in ([], ["--dry-run"]):
            done = cli(*words, "--out", out, *dry)
            assert done.code == 2
            assert (
                f"{out}: the output folder is the folder of {what}, which must stay as it is\n  fix: give another out"
                in done.err
            )
    assert sorted(tiny.collection.iterdir()) == before


# Told before torch is imported, from the options, the settings and the paths alone.
EARLY = {
    "compare {tmp}/none {tmp} --data {tmp}": "there is no checkpoint at '.*none'",
    "compare query={tmp},passage={tmp}/none {tmp} --data {tmp}": "there is no checkpoint at '.*none'",
    "compare {tmp} {tmp} --data beir:{tmp}/none": "none: no such file or folder",
    "compare {tmp} {tmp} --data {tmp}": "no format fits",
    "compare {tmp} {tmp} --data bier:{tmp}": "did you mean 'beir'",
    "compare a b --data {tmp} --set mesures=[RR]": "did you mean 'measures'",
    "compare a b --data {tmp} --set probes.rank=many": r"rank: .*'many'",
    "compare a b --data {tmp} --set neurons.ablation.precision=bf16": "unknown precision 'bf16'",
    "compare a b --data {tmp} --measures RR@10,NDGC@10": "did you mean 'nDCG@10'",
    "probe a --data {tmp} --settings {tmp}/none.yaml": r"none\.yaml: this settings file does not exist",
    "doctor a --set after.load.poling=mean": "did you mean 'pooling'",
    "compare a b --data {pairs} --device gpu": "unknown device 'gpu'",
    "retrieve a --data {pairs} --out {pairs}": r"pairs.jsonl: this folder cannot be written to: .*pairs.jsonl is not a",
    "retrieve a --data {pairs} --out {pairs}/below": "this folder cannot be written to: .*pairs.jsonl is not a folder",
    "retrieve a --data {pairs} --out {theirs}": "theirs/tables: the report would overwrite files that Retroscope did",
    "doctor a --split dev": r"--split dev needs --data\n  fix: give --data",
    "doctor {tmp}/none": "there is no checkpoint at '.*none'",
    "embed {tmp}/none --texts {tmp}/texts": "there is no checkpoint at '.*none'",
    "retrieve {plain} --data {pairs}": r"plain: the checkpoint does not record its pooling.*\n.*usually cls or mean",
    "compare {plain} a --data {pairs}": "plain: the checkpoint does not record its pooling",
    "compare {tmp} {adapter} --data {pairs}": r"adapter: .*does not record its pooling.*\n.*usually last_token or mean",
    "neurons {plain} --texts {pairs}": "plain: the checkpoint does not record its pooling",
    "embed {plain} --texts {pairs}": "plain: the checkpoint does not record its pooling",
    "train {plain} --data {pairs}": "plain: the checkpoint does not record its pooling",
    "ablate {plain} --data {pairs} --test {pairs}": "plain: the checkpoint does not record its pooling",
    "train a --data {tmp}/none.jsonl": "no such file or folder",
    "train {tmp}/none --data {pairs}": "there is no checkpoint at '.*none'",
    "train a --data {pairs} --dev {tmp}/none": "no such file or folder",
    "train a --data {pairs} --set training.lora.rank=many": "rank: .*'many'",
    "train a --data {pairs} --reinitialise atention": "unknown part 'atention'",
    "train a --data {pairs} --reinitialise top:0": "'top:0' names no block",
    "pretrain --text {tmp}/none --shape bert-tiny --tokenizer words": "no such file",
    "pretrain --text {pairs} --from {tmp}/none": "there is no checkpoint at '.*none'",
    "pretrain --text {pairs} --shape bert-huge --tokenizer words": "unknown shape 'bert-huge'",
    "pretrain --text {pairs} --shape bert-tiny --tokenizer word:9": "unknown kind of tokenizer 'word:9'",
    "pretrain --text {pairs} --shape bert-tiny --tokenizer words --set pretraining.steps=0": "steps is 0",
    "ablate {tmp}/none --data {pairs} --test {pairs}": "there is no checkpoint at '.*none'",
    "ablate a --data {pairs} --test {tmp}/none": "no such file or folder",
    "ablate a --data {pairs} --test {pairs} --strategy ful": "unknown strategy 'ful'",
    "ablate a --data {pairs} --test {pairs} --reinitialise none,al": "unknown part 'al'",
    "ablate a --data {pairs} --test {pairs} --measures RR@10,NDGC@10": "did you mean 'nDCG@10'",
}
WITH_OUT = ("compare", "neurons", "embed", "train", "pretrain", "ablate")
RUN_THEM = """
import io, json, sys
from contextlib import redirect_stderr
from retroscope.cli.main import main
for arguments in json.loads(sys.argv[1]):
    sys.argv, err = ["retroscope", *arguments], io.StringIO()
    try:
        with redirect_stderr(err):
            main()
        code = 0
    except SystemExit as end:
        code = end.code
    print(json.dumps({"code": code, "err": err.getvalue(), "torch": "torch" in sys.modules}))
"""


def test_mistakes_in_options_and_settings_are_told_before_torch_is_imported(tmp_path: Path) -> None:
    out, pairs = ["--out", str(tmp_path / "out")], tmp_path / "pairs.jsonl"
    pairs.write_text('{"query": "a", "positive": "b"}\n{"query": "c", "positive": "d"}\n')
    folders = {name: tmp_path / name for name in ("plain", "adapter", "decoder", "theirs")}
    (folders["theirs"] / "tables").mkdir(parents=True)
    (folders["theirs"] / "tables" / "mine.csv").write_text("mine")
    for name, file, content in (
        ("plain", "config.json", {"model_type": "bert"}),
        ("decoder", "config.json", {"model_type": "llama"}),
        ("adapter", "adapter_config.json", {"base_model_name_or_path": str(folders["decoder"])}),
    ):
        folders[name].mkdir()
        (folders[name] / file).write_text(json.dumps(content))
    commands = [
        [*command.format(tmp=tmp_path, pairs=pairs, **folders).split(), *(out if command.startswith(WITH_OUT) else [])]
        for command in EARLY
    ]
    done = subprocess.run(
        [sys.executable, "-c", RUN_THEM, json.dumps(commands)], capture_output=True, text=True, check=True
    )
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    for command, message, outcome in zip(EARLY, EARLY.values(), outcomes, strict=True):
        assert outcome["code"] == 2, (command, outcome)
        assert re.search(message, outcome["err"]), (command, outcome)
        assert not outcome["torch"], command
