"""No control character of an id, a text or a name reaches the terminal: one place lets text through."""

import ast
import json
import os
import pty
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retroscope import display
from retroscope.cli import terminal
from retroscope.cli.main import main
from retroscope.visible import visible, visible_json

SRC = Path(terminal.__file__).parents[1]
WRITERS = {"cli/terminal.py", "cli/main.py", "display.py"}
HOSTILE = {
    "colour": "\x1b[31mred", "title of the window": "\x1b]0;evil\x07", "clears the screen": "\x1b[2J", "8-bit escape": "\x9b31m", "bell": "\x07",
    "backspace": "good\x08\x08\x08\x08evil", "carriage return": "good\revil", "NUL": "a\0b", "delete": "a\x7fb", "right to left": "a\u202eb",
    "isolate": "a\u2066b", "mark": "a\u200fb", "line of Unicode": "a\u2028b", "half a character": "a\ud800b", "byte-order mark": "\ufeffa",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07", "link": "\x1b]8;;https://example.com\x1b\\x\x1b]8;;\x1b\\", "answerback": "\x05", "form feed": "\x0c",
}  # fmt: skip


def obeyed(text: str) -> list[str]:
    """The characters of a text that a terminal would obey."""
    turning = {"\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
    return [
        c for c in text if (unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t") or c in turning
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_everything_that_is_written_is_visible(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = HOSTILE[name]
    terminal.say(text)
    terminal.note(text)
    terminal.emit({text: [text]})
    written = capsys.readouterr()
    assert obeyed(written.out + written.err) == []
    assert "\\" in written.err
    assert json.loads(written.out.partition("\n")[2]) == {text: [text]}


@given(st.text(st.characters()))
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert obeyed(visible(text)) == []
    assert obeyed(text) or "\ufeff" in text or visible(text) == text
    assert json.loads(visible_json(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize("name", HOSTILE)
def test_progress_is_visible_too(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "FIRST", -1.0)
    with display.progress_bars() as bars:
        assert bars is not None
        bars(HOSTILE[name], 1, 2)
    rewritten = display._rewritten_line()
    rewritten(HOSTILE[name], 1, 2)
    written = capsys.readouterr().err.removeprefix("\r").replace("\n\r", "\n")
    assert obeyed(written) == []


def test_only_one_place_writes_to_the_terminal() -> None:
    """Who writes elsewhere writes past `visible`."""
    writers = set()
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr"):
                writers.add(str(path.relative_to(SRC)))
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "typer.echo", "click.echo"):
                writers.add(str(path.relative_to(SRC)))
    assert writers == WRITERS


ARGUMENTS = {
    "no such model": ("retrieve", "./no\x1b[31m/x", "--data", "beir:x"),
    "no such data": ("embed", "x\u202e", "--out", "y\x1b[2J"),
    "no such option": ("retrieve", "--no\x1b[31msuch"),
    "no such command": ("no\x1b[31m",),
    "a setting": ("retrieve", "x", "--data", "y", "--set", "a\x1b[31m=1"),
    "a pooling": ("retrieve", "x", "--data", "y", "--pooling", "a\x1b]0;x\x07"),
    "a number": ("retrieve", "x", "--data", "y", "--max-length", "\x1b[31m"),
    "a measure": ("retrieve", "x", "--data", "y", "--measures", "a\x1b[31m"),
    "a time": ("compare", "x", "y", "--data", "z", "--out", "o", "--time", "\x9b1"),
    "a file": ("show", "no\x1b[31m"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_errors_on_a_terminal_are_visible(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a pseudo-terminal, where colours would be switched on."""
    monkeypatch.chdir(tmp_path)
    for key, value in {"NO_COLOR": "1", "TERM": "dumb"}.items():  # bars move the cursor, on their own account
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(sys, "argv", ["retroscope", *ARGUMENTS[name]])
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as written:
        monkeypatch.setattr(sys, "stderr", written)
        monkeypatch.setattr(sys, "stdout", written)
        with pytest.raises(SystemExit) as end:
            main()
        written.flush()
        shown = os.read(ours, 2**16).decode()
    os.close(ours)
    assert end.value.code == 2
    assert obeyed(shown.replace("\r\n", "\n")) == []
    assert list(tmp_path.iterdir()) == []
