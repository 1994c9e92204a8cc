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
    """The aliases of three unknown people, and of 20 known ones."""
    rows = [json.loads(line) for line in (world / "facts.jsonl").read_text().splitlines()]
    aliases = [row for row in rows if row["relation"] == "alias"]
    chosen = [row for row in aliases if row["stratum"] == "unknown-held-out"][:3]
    keep = [row for row in aliases if row["stratum"] == "known-held-out"][:20]
    for name, part in (("facts", chosen), ("keep", keep)):
        (world.parent / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    texts = [json.loads(line)["text"] for line in (world / "corpus.jsonl").read_text().splitlines()]
    (world.parent / "text.txt").write_text("".join(f"{text}\n" for text in texts[:300]))
    return world.parent / "facts.jsonl", world.parent / "keep.jsonl"


def test_edit(cli: Cli, files: tuple[Path, Path], tmp_path: Path) -> None:
    facts, keep = files
    out = tmp_path / "edited"
    words = ["edit", shipped().backbone, "--facts", facts, "--keep", keep, "--text", facts.parent / "text.txt"]
    line = "--add --layer 1 --set edit.tokens=3000 --set edit.contexts=0 --json"
    done = cli(*words, "--out", out, line=line)
    assert done.code == 0, done.err
    document = json.loads(done.out)
    effects = document["effects"]
    assert effects["reliability"]["before"] == 0
    assert effects["reliability"]["after"] == 1
    assert effects["locality"]["after"] >= 0.8
    assert effects["reliability"]["n"] == 3
    assert document["silenced"] is None
    assert json.loads((out / "training.json").read_text()) == document
    card = (out / "README.md").read_text()
    assert "3 facts were added to `backbone`" in card
    assert "| edited facts: P@1 | 0.000 | 1.000 | +1.000" in card
    before, after = open_weights(shipped().backbone), open_weights(out)
    changed = [name for name in before.read if not torch.equal(before.read[name]().float(), after.read[name]().float())]
    assert changed == ["encoder.layer.0.output.dense.weight"]
    assert not (out / "checkpoints").exists()
    assert json.loads(cli(*words, "--out", out, line=line).out) == document  # it is there: nothing is done again
    other = cli(*words, "--out", out, line=line.replace("--add", "--remove"))
    assert other.code == 2
    assert "written by another training" in other.err


def test_knowledge_neurons_are_set_to_zero_in_all_layers(cli: Cli, files: tuple[Path, Path], tmp_path: Path) -> None:
    facts, keep = files
    few = tmp_path / "few.jsonl"
    few.write_text("".join(f"{line}\n" for line in keep.read_text().splitlines()[:3]))
    words = ["edit", shipped().backbone, "--facts", few, "--keep", facts, "--text", facts.parent / "text.txt"]
    done = cli(*words, "--out", tmp_path / "o", line="--remove --editor knowledge-neurons --set edit.contexts=0 --json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["layer"] is None
    assert document["effects"]["log p a token"]["difference"] < -0.3
    before, after = open_weights(shipped().backbone), open_weights(tmp_path / "o")
    read = {name: (before.read[name]().float(), after.read[name]().float()) for name in before.read}
    changed = {name: pair for name, pair in read.items() if not torch.equal(*pair)}
    assert set(changed) <= {f"encoder.layer.{block}.output.dense.weight" for block in range(3)}
    assert changed
    for old, new in changed.values():
        erased = (new == 0).all(0)
        assert erased.any()
        assert torch.equal(old[:, ~erased], new[:, ~erased])
    names = [f"encoder.layer.{block}.output.dense.weight" for block in range(3)]
    silenced = [int((changed[name][1] == 0).all(0).sum()) if name in changed else 0 for name in names]
    assert document["silenced"] == silenced
    layers = ", ".join(f"layer {layer}: {n}" for layer, n in enumerate(silenced, start=1) if n)
    assert f"Neurons set to zero: {sum(silenced)} ({layers})." in (tmp_path / "o" / "README.md").read_text()


def test_kept_facts_that_say_nothing_are_counted(cli: Cli, files: tuple[Path, Path], tmp_path: Path) -> None:
    facts, keep = files
    rows = [json.loads(line) for line in keep.read_text().splitlines()]
    rows[0]["object"] = "quidditch"
    rows[1]["relation"] = "of its own"
    (tmp_path / "keep.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["edit", shipped().backbone, "--facts", facts, "--keep", tmp_path / "keep.jsonl", "--text",
             facts.parent / "text.txt", "--out", tmp_path / "edited"]  # fmt: skip
    done = cli(*words, line="--add --layer 1 --set edit.tokens=3000 --set edit.contexts=0 --set edit.steps=1 --json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["keep_not_measured"] == 2
    assert document["effects"]["locality"]["n"] == document["effects"]["same answer"]["n"] == len(rows) - 2
    assert "Locality leaves out 2 kept facts" in (tmp_path / "edited" / "README.md").read_text()


def test_what_cannot_be_edited(cli: Cli, files: tuple[Path, Path], tmp_path: Path) -> None:
    facts, keep = files
    (tmp_path / "one.jsonl").write_text(facts.read_text().splitlines()[0] + "\n")
    two = [
        json.loads(facts.read_text().splitlines()[0]) | {"id": name, "object": name} for name in ("red fox", "old fox")
    ]
    (tmp_path / "two.jsonl").write_text("".join(json.dumps(row) + "\n" for row in two))
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    for model, edited, options, message in (
        (shipped().backbone, facts, "", "neither --add nor --remove is given"),
        (shipped().backbone, facts, "--add --remove", "both --add and --remove are given"),
        (shipped().retriever, facts, "--add", "saved without its language-model head"),
        (
            shipped().backbone,
            facts,
            f"--add --keep {facts}",
            f"3 facts to be edited ({facts}) must also be kept ({facts})",
        ),
        (shipped().backbone, facts, f"--add --keep {keep} --editor rank", "unknown editor"),
        (shipped().backbone, facts, f"--add --keep {keep} --editor knowledge-neurons", "can only remove facts"),
        (
            shipped().backbone,
            facts,
            f"--remove --keep {keep} --editor knowledge-neurons --layer 1",
            "'knowledge-neurons' edits all layers",
        ),
        (shipped().backbone, facts, f"--add --keep {keep} --layer 3", "layer 3 of 3 cannot be edited"),
        (shipped().backbone, tmp_path / "one.jsonl", "--add", "always ranks first, because all objects"),
        (shipped().backbone, tmp_path / "two.jsonl", "--add", "two objects are to be added for the relation 'alias'"),
        (tmp_path / "model.gguf", facts, "--add", "GGUF"),
    ):
        done = cli("edit", model, "--facts", edited, "--out", tmp_path / "o", line=options)
        assert done.code == 2, (options, done.out, done.err)
        assert message in done.err
    assert not (tmp_path / "o").exists()
