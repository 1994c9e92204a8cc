"""world, pretrain, train and ablate, one after the other, as a user would."""

import json
from pathlib import Path

import pytest
from command_line import Cli, Done

from retroscope.files.documents import read_document


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands") / "world"


@pytest.fixture
def backbone(cli: Cli, world: Path) -> Path:
    """A world and a backbone that read it, made by the first test that asks."""
    folder = world.parent / "backbone"
    if not world.exists():
        done = cli("world", "--people", 30, "--documents", 2, "--out", world)
        assert (done.code, done.out.splitlines()[0]) == (0, "30 people, 60 documents of pre-training text")
    words = ["pretrain", "--text", world / "pretraining.txt", "--shape", "bert-1x32", "--tokenizer", "words",
             "--steps", 2, "--batch-size", 4, "--max-length", 32, "--out", folder]  # fmt: skip
    assert ok(cli(*words)).out == f"backbone: {folder}\n"
    return folder


def ok(done: Done) -> Done:
    assert done.code == 0, done.err
    return done


def test_train(cli: Cli, world: Path, backbone: Path, tmp_path: Path) -> None:
    words = ["train", backbone, "--data", f"beir:{world}", "--dev", "dev", "--steps", 2, "--batch-size", 4]
    line = "--pooling mean --max-length 32 --reinitialise ffn+embeddings --json"
    document = json.loads(ok(cli(*words, "--out", tmp_path / "r", line=line)).out)
    assert document["settings"]["reinitialise"] == ["ffn", "embeddings"]
    assert document["settings"]["test"][0]["split"] == "test", "checked unasked"
    assert document == json.loads((tmp_path / "r" / "training.json").read_text())
    assert json.loads(ok(cli(*words, "--out", tmp_path / "r", line=line)).out) == document, "nothing is trained again"


def test_a_leaking_split(cli: Cli, world: Path, backbone: Path, tmp_path: Path) -> None:
    words = ["train", backbone, "--data", f"beir:{world}", "--split", "test", "--dev", "known-held-out"]
    done = cli(*words, "--out", tmp_path / "r", line="--pooling mean")
    assert done.code == 2
    assert "held-out queries are also in the training pairs" in done.err
    assert not (tmp_path / "r").exists()


def test_a_checkpoint_is_not_chosen_with_the_test(cli: Cli, world: Path, backbone: Path, tmp_path: Path) -> None:
    words = ["train", backbone, "--data", f"beir:{world}", "--dev", "known-held-out", "--test", "test"]
    done = cli(*words, "--out", tmp_path / "r", line="--pooling mean")
    assert done.code == 2
    assert "test queries are also in world, which chooses the checkpoint" in done.err
    assert not (tmp_path / "r").exists()


def test_ablate(cli: Cli, world: Path, backbone: Path, tmp_path: Path) -> None:
    words = ["ablate", backbone, "--data", f"beir:{world}", "--test", "lexical", "--out", tmp_path / "g"]
    line = "--reinitialise none,all --labels 10,20 --seeds 0,1 --steps 2 --batch-size 4 --pooling mean --max-length 32"
    planned = ok(cli(*words, line=f"{line} --dry-run"))
    assert "8 models to train (cells), 0 of them finished" in planned.out
    without_folder = ok(cli(*words[:-2], line=f"{line} --dry-run"))
    assert without_folder.out == planned.out
    plan = json.loads(ok(cli(*words[:-2], line=f"{line} --dry-run --json")).out)
    assert (plan["cells"], plan["done"], plan["axes"]["labels"]) == (8, 0, [10, 20])
    assert not (tmp_path / "g").exists()
    document = json.loads(ok(cli(*words, line=f"{line} --json --measures RR@10")).out)
    assert {row["backbone"] for row in document["cells"]} == {"backbone"}
    assert len(document["cells"]) == 2 * 2
    assert document == read_document(tmp_path / "g" / "grid.json")
    again = ok(cli(*words, line=f"{line} --measures RR@10"))
    assert "8 models to train (cells), 8 of them finished" in again.err
    said = [statement["text"] for statement in document["statements"]]
    printed = " ".join(again.out.split())
    assert all(text in printed for text in said)
    assert all(f"{row['mean']:.3f}" in printed for row in document["cells"]), "the means of all settings"
    shown = ok(cli("show", tmp_path / "g")).out.splitlines()
    assert shown == [*said, *(f"- {caveat}" for caveat in document["caveats"])]
    assert (tmp_path / "g" / "report.html").stat().st_size > 100_000


@pytest.mark.parametrize("split", ["", "\n  split: dev"])
def test_ablate_tests_on_a_split_of_the_collection_that_the_settings_file_names(
    cli: Cli, world: Path, backbone: Path, split: str, tmp_path: Path
) -> None:
    (tmp_path / "settings.yaml").write_text(f"data:\n  source: beir:{world}{split}\n")
    words = ["ablate", backbone, "--settings", tmp_path / "settings.yaml", "--test", "lexical", "--out", tmp_path / "g"]
    line = "--steps 2 --pooling mean --dry-run"
    by_file = ok(cli(*words, line=line)).out
    by_option = [*words[:2], "--data", f"beir:{world}", *words[4:]]
    assert by_file == ok(cli(*by_option, line=f"{line} --split {'dev' if split else 'train'}")).out
    assert "measured on lexical" in by_file


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ablate", "--test", "x", "--out", "o"], "--test names only a split ('x'), but no collection is given"),
        (["ablate", "--data", "beir:WORLD", "--test", "test", "--out", "o"], "no backbone was given"),
        (["ablate", "B", "--data", "beir:WORLD", "--out", "o"], "no test collection was given"),
        (["ablate", "B", "--data", "beir:WORLD", "--test", "test", "--seeds", "a", "--out", "o"], "invalid number"),
        (["pretrain", "--text", "x", "--shape", "bert-huge", "--tokenizer", "words", "--out", "o"], "unknown shape"),
    ],
)
def test_mistakes(cli: Cli, world: Path, backbone: Path, words: list[str], said: str) -> None:
    done = cli(*(word.replace("WORLD", str(world)) for word in words))
    assert done.code == 2
    assert said in done.err
