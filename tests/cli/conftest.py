"""The command line, run in this process as a user would run it in a plain terminal."""

import shlex
import sys
from pathlib import Path

import pytest
from command_line import Cli, Done

from retroscope.cli.main import main
from tiny_study import Tiny, make_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, value in {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RETROSCOPE_CACHE", str(tmp_path_factory.getbasetemp() / "cli-cache"))


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run a command line, given as words or as one text."""

    def run(*words: str | Path, line: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["retroscope", *map(str, words), *shlex.split(line)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        written = capfd.readouterr()
        return Done(code, written.out, written.err)

    return run
