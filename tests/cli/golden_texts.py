"""Texts that the command line is known to print. To accept a change: RETROSCOPE_UPDATE_GOLDEN=1 pytest tests/cli."""

import os
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def check(name: str, text: str) -> None:
    """The text is the stored one."""
    file = FOLDER / f"{name}.txt"
    if os.environ.get("RETROSCOPE_UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def without_numbers(text: str) -> str:
    """Times, sizes and scores replaced: they may differ between machines; the number of texts may not."""
    times = re.sub(r"\bunder 1 s\b|\b\d+ (?:h \d+ min|h|min|s)\b", "TIME", text)
    return re.sub(r"\d+\.\d+|\d+(?= MiB)", "#", times)
