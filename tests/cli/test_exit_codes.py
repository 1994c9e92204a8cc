"""The exit codes are the documented ones, and each is what a shell sees."""

import errno
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Cli

from retroscope.cli import exit_codes, main
from retroscope.cli.exit_codes import DONE, INTERRUPTED, MEANINGS, UNSOUND, USER_ERROR
from retroscope.study.doctor import diagnosis as doctor
from tiny_study import Tiny

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "json.md"


def test_the_page_lists_the_codes_and_their_meanings() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Exit codes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", section, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == MEANINGS


def test_no_code_is_without_a_meaning() -> None:
    assert {value for value in vars(exit_codes).values() if isinstance(value, int)} == set(MEANINGS)


def test_no_module_ends_with_a_code_of_its_own() -> None:
    commands = Path(main.__file__).parent
    ends = {
        (path.name, code)
        for path in commands.rglob("*.py")
        for code in re.findall(r"(?:typer\.Exit|sys\.exit)\((.*?)\)", path.read_text(encoding="utf-8"))
    }
    assert ends == {
        ("cache.py", "UNSOUND"),
        ("doctor.py", "UNSOUND"),
        ("studies.py", "UNSOUND"),
        ("main.py", "code"),
    }


def test_a_command_that_is_done(cli: Cli, tiny: Tiny) -> None:
    assert cli("doctor", tiny.retriever, "--pooling", "mean").code == DONE


def test_a_model_with_an_error(cli: Cli, tiny: Tiny) -> None:
    done = cli("doctor", tiny.backbone)
    assert (done.code, "Traceback" in done.err) == (UNSOUND, False)


@pytest.mark.parametrize("line", ["no-such-command", "doctor", "doctor --no-such-option x", "doctor no/such/folder"])
def test_a_mistake(cli: Cli, line: str) -> None:
    done = cli(line=line)
    assert (done.code, "Traceback" in done.err) == (USER_ERROR, False)


def test_an_interruption(cli: Cli, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "diagnose", interrupted)
    done = cli("doctor", tiny.retriever)
    assert done.code == INTERRUPTED
    assert "repeat the command to continue" in done.err


def test_a_full_disk(cli: Cli, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/out")

    monkeypatch.setattr(doctor, "diagnose", full)
    done = cli("doctor", tiny.retriever)
    assert done.code == USER_ERROR
    assert done.err.splitlines()[-2:] == [
        "error: runs/out: the disk is full",
        "  fix: free some space and repeat the command, which continues where it stopped",
    ]


@pytest.mark.parametrize(("redirected", "said"), [(">/dev/full", "No space left on device"), (">&-", "is closed")])
def test_standard_output_that_takes_nothing(tmp_path: Path, redirected: str, said: str) -> None:
    line = f"{shlex.quote(sys.executable)} -m retroscope world --people 20 --out {tmp_path / 'w'} {redirected}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == USER_ERROR, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert (tmp_path / "w" / "world.json").exists()


def test_a_path_without_a_name(cli: Cli) -> None:
    done = cli("world", "--people", 20, "--out", "")
    assert (done.code, "--out is empty" in done.err) == (USER_ERROR, True)
