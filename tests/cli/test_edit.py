"""`retroscope edit`: a fact is added to the shipped backbone, which is an ordinary checkpoint again."""

import json
from pathlib import Path

import pytest
import torch
from command_line import Cli

from retroscope.encoders.checkpoints.tensors import open_weights
from retroscope.study.demo import shipped, write_demo_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_world(tmp_path_factory.mktemp("edit") / "world")


@pytest.fixture(scope="module")
def files(world: Path) -> tuple[Path, Path]:
    """The trades of three unknown people, and of 20 known ones."""
    rows = [json.loads(line) for line in (world / "facts.jsonl").read_text().splitlines()]
    trades = [row for row in rows if row["relation"] == "trade"]
    chosen = [row for row in trades if row["stratum"] == "unknown-held-out"][:3]
    keep = [row for row in trades if row["stratum"] == "known-held-out"][:20]
    for name, part in (("facts", chosen), ("keep", keep)):
        (world.parent / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    texts = [json.loads(line)["text"] for line in (world / "corpus.jsonl").read_text().splitlines()]
    (world.parent / "text.txt").write_text("".join(f"{text}\n" for text in texts[:300]))
    return world.parent / "facts.jsonl", world.parent / "keep.jsonl"


def test_edit(cli: Cli, files: tuple[Path, Path], tmp_path: Path) -> None:
    facts, keep = files
    out = tmp_path / "edited"
    words = ["edit", shipped().backbone, "--facts", facts, "--keep", keep, "--text", facts.parent / "text.txt"]
    line = "--add --layer 2 --set edit.tokens=2000 --json"
    done = cli(*words, "--out", out, line=line)
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["before"]["reliability"] < 0.4
    assert document["after"]["reliability"] == 1
    assert document["after"]["locality"] > 0.6 * document["before"]["locality"]
    assert json.loads((out / "training.json").read_text()) == document
    assert "3 facts were added to `backbone`" in (out / "README.md").read_text()
    before, after = open_weights(shipped().backbone), open_weights(out)
    changed = [name for name in before.read if not torch.equal(before.read[name]().float(), after.read[name]().float())]
    assert changed == ["encoder.layer.1.output.dense.weight"]
    assert "in use" in cli(*words, "--out", out, line=line).err


def test_what_cannot_be_edited(cli: Cli, files: tuple[Path, Path], tmp_path: Path) -> None:
    facts, keep = files
    for model, options, message in (
        (shipped().backbone, "", "either added or removed"),
        (shipped().backbone, "--add --remove", "either added or removed"),
        (shipped().retriever, "--add", "saved without its language-model head"),
        (shipped().backbone, f"--add --keep {facts}", "3 facts are edited and kept"),
        (shipped().backbone, f"--add --keep {keep} --editor rank", "unknown editor"),
    ):
        done = cli("edit", model, "--facts", facts, "--out", tmp_path / "o", line=options)
        assert done.code == 2
        assert message in done.err
    assert not (tmp_path / "o").exists()
