"""Pages of the documentation, followed as a reader does: files are written, commands typed and code run, in order.

A block with a title is a file. A `bash` block is typed, a `python` block is run. A `text` block after either is what it
prints: `...` stands for lines that are left out, numbers may differ a little, and times and sizes by anything.
"""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from retroscope.cli.main import main

RUN = ("bash", "python")
NOT_RUN = ("", "text", "html", "toml", "py", "json", "tsv", "xml", "yaml")  # drawings, output, files, tested code
FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|\.\d+")
MEASURED = re.compile(r"[\d.,:]+ ?(?:s|min|h|MB|KiB|MiB|GiB|GFLOP/s)\b")  # times and sizes: of one machine
FAILURE = re.compile(
    r"^(?:error:|NOT SOUND|gate .* does not hold)", re.MULTILINE
)  # shown on purpose: the command fails
RELATIVE, ABSOLUTE = 0.1, 0.02  # how far a printed number may be from the page's


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    tag: str
    title: str
    code: str


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks, in order."""
    return [Block(*found) for found in FENCE.findall(page.read_text(encoding="utf-8"))]


def lines_typed(code: str) -> list[str]:
    """Return the lines of a `bash` block, each a whole command."""
    lines = code.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def follow(page: Path, folder: Path) -> None:
    """Follow a page in a folder.

    Raises:
        AssertionError: if a command fails that should not, or prints something else than the page shows.
    """
    shown = blocks(page)
    names: dict[str, Any] = {"__name__": page.stem}
    with contextlib.chdir(folder):
        for block, after in zip(shown, [*shown[1:], None], strict=True):
            expected = after.code if after is not None and (after.tag, after.title) == ("text", "") else None
            if block.title:
                Path(block.title).parent.mkdir(parents=True, exist_ok=True)
                Path(block.title).write_text(block.code, encoding="utf-8")
            elif block.tag == "bash":
                check_output(typed(block.code, may_fail=bool(FAILURE.search(expected or ""))), expected)
            elif block.tag == "python":
                check_output(executed(block.code, names), expected)


def typed(code: str, may_fail: bool) -> str:
    """Return what the commands print; those of Retroscope run in this process."""
    printed = ""
    for line in lines_typed(code):
        words = shlex.split(line, comments=True)
        status, output = retroscope_command(words[1:]) if words[0] == "retroscope" else shell(line)
        assert status == 0 or may_fail, f"{line}\nended with {status}:\n{output}"
        printed += output
    return printed


def retroscope_command(arguments: list[str]) -> tuple[int, str]:
    """Return the exit status of a command line, and its results; of a failure also its errors."""
    results, notes = io.StringIO(), io.StringIO()
    status = 0
    with (
        patch.object(sys, "argv", ["retroscope", *arguments]),
        contextlib.redirect_stdout(results),
        contextlib.redirect_stderr(notes),
    ):
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
    errors = notes.getvalue() if status else ""
    return status, results.getvalue() + errors[max(errors.find("error:"), 0) :]


def shell(line: str) -> tuple[int, str]:
    """Return the exit status of any other command, and what it prints."""
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def executed(code: str, names: dict[str, Any]) -> str:
    """Return what the code prints; the names that it makes are there for the next block."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        exec(compile(code, str(names["__name__"]), "exec"), names)
    return printed.getvalue()


def check_output(printed: str, expected: str | None) -> None:
    """Find the lines of the page in what was printed, in order; those without a `...` between them follow directly.

    Raises:
        AssertionError: if some are missing.
    """
    lines, start = printed.rstrip().splitlines(), 0
    for part in re.split(r"^\.\.\.$\n?", expected or "", flags=re.MULTILINE):
        wanted = part.rstrip().splitlines()
        places = (k for k in range(start, len(lines) - len(wanted) + 1) if all(map(alike, wanted, lines[k:])))
        place = next(places, None)
        assert place is not None, f"the page shows\n{part}\nbut this was printed:\n{printed}"
        start = place + len(wanted)


def alike(shown: str, printed: str) -> bool:
    """Return whether two lines have the same words, and about the same numbers."""
    shown, printed = MEASURED.sub("TIME", shown), MEASURED.sub("TIME", printed)
    if " ".join(NUMBER.sub("0", shown).split()) != " ".join(NUMBER.sub("0", printed).split()):
        return False
    pairs = zip(map(number, NUMBER.findall(shown)), map(number, NUMBER.findall(printed)), strict=True)
    return all(abs(one - other) <= max(ABSOLUTE, RELATIVE * abs(one)) for one, other in pairs)


def number(text: str) -> float:
    """Return a printed number."""
    return float(text.replace(",", "").rstrip("."))
