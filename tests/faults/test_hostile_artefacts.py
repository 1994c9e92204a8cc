"""No home folder, user name or secret in anything that a command writes, and a study with `~` in it still goes on."""

import sys
from pathlib import Path

import pytest

from retroscope.cli.main import main
from retroscope.files.documents import impersonal
from tiny_study import Tiny, make_tiny

USER = "alice-of-the-house"
TOKEN = "hf_abcdefghijklmnopqrstuvwxyz0123456789"
QUICK = (
    "--pooling",
    "mean",
    "--measures",
    "RR@10",
    "--set",
    "statistics.resamples=200",
    "--set",
    "statistics.permutations=200",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("homes") / USER


@pytest.fixture(scope="module")
def tiny(home: Path) -> Tiny:
    return make_tiny(home / "models")


@pytest.fixture
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOME": str(home), "USER": USER, "LOGNAME": USER, "HF_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RETROSCOPE_CACHE", str(home / "cache"))


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["retroscope", *map(str, words)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def personal(folder: Path) -> list[str]:
    """The files below a folder that name the user, the home folder or the token."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert files
    return [
        f"{path.relative_to(folder)}: {word}"
        for path in files
        for word in (USER, TOKEN)
        if word.encode() in path.read_bytes()
    ]


@pytest.mark.usefixtures("at_home")
def test_a_report_names_neither_home_nor_user(home: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    out = home / "out"
    command = ("retrieve", tiny.retriever, "--data", tiny.data, "--out", out, *QUICK)
    assert run(monkeypatch, *command) == 0
    assert personal(out) == []
    assert personal(home / "cache") == []
    assert "~/models" in (out / "settings.yaml").read_text()
    assert run(monkeypatch, *command) == 0, "the same command again is the same study"
    assert run(monkeypatch, *command[:-1], "statistics.permutations=300") == 2


@pytest.mark.usefixtures("at_home")
def test_vectors_name_neither_home_nor_user(home: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = home / "texts.txt"
    texts.write_text("one text\nanother text\n")
    assert (
        run(monkeypatch, "embed", tiny.retriever, "--pooling", "mean", "--texts", texts, "--out", home / "vectors") == 0
    )
    assert personal(home / "vectors") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/home/alice/models/x", "~/models/x"),
        ("beir:/home/alice/data", "beir:~/data"),
        ("/home/alice", "~"),
        ("query=/home/alice/a,passage=/home/alice/b", "query=~/a,passage=~/b"),
        ("/home/alice2/x", "/home/alice2/x"),
        ("/mnt/home/alice/x", "/mnt/home/alice/x"),
        (f"--token {TOKEN}", "--token ***"),
        ("https://user:password@host/x", "https://***@host/x"),
        ("s3://bucket/x", "s3://bucket/x"),
    ],
)
def test_what_stands_for_the_home_folder(text: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    assert impersonal({"a": [text, 3]}) == {"a": [said, 3]}
