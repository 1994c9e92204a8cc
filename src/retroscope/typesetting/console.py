"""Print statements, lists and tables as plain text for a terminal, without control characters."""

import os
import shutil
import textwrap
from collections.abc import Iterable, Sequence

from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.statements import Statement

WIDTH = 100  # of a line, in a file or a wide terminal
STANDARD_OUTPUT = 1  # file descriptor
NARROWEST = 50  # of a line, however narrow the terminal is
LABEL_WIDTH = 17  # "not significant" and two spaces


def page(blocks: Iterable[str]) -> str:
    """Join blocks of text with an empty line between them. Empty blocks are left out."""
    return "\n\n".join(_without_controls(block) for block in blocks if block) + "\n"


def statement_list(heading: str, statements: Sequence[Statement]) -> str:
    """Return a heading with the statements below it, or "" if there are no statements."""
    if not statements:
        return ""
    return "\n".join([heading, *(_statement(s) for s in statements)])


def _statement(statement: Statement) -> str:
    text = [_wrapped(f"  {statement.label}".ljust(LABEL_WIDTH + 2), statement.text)]
    return "\n".join(text + [_wrapped(" " * (LABEL_WIDTH + 2), f"(!) {doubt}") for doubt in statement.doubts])


def labelled_lines(heading: str, label: str, text: str) -> str:
    """Return a heading with one text below it, which has a label in the left column."""
    return "\n".join([heading, _wrapped(f"  {label}".ljust(LABEL_WIDTH + 2), text)])


def paragraph(text: str) -> str:
    """Wrap a text to lines of at most `WIDTH` characters, or fewer in a narrower terminal."""
    return _wrapped("", text)


def bullet_list(heading: str, items: Sequence[str]) -> str:
    """Return a heading with a list of items below it, or "" if there are no items."""
    if not items:
        return ""
    return "\n".join([heading, *(_wrapped("  - ", item) for item in items)])


def table(printed: PaperTable) -> str:
    """Return a table as text, with its caption and note, or "" if it has no rows."""
    if printed.frame.empty:
        return ""
    columns = [str(c) for c in printed.frame.columns]
    grid = [columns, *(list(map(str, row)) for row in printed.frame.itertuples(index=False))]
    widths = [max(len(line[k]) for line in grid) for k in range(len(columns))]
    right = [name in printed.numeric for name in columns]
    lines = ["  ".join(map(_cell, line, widths, right)) for line in grid]
    note = [_wrapped("  ", printed.note)] if printed.note else []
    return "\n".join([printed.caption, *(f"  {line}".rstrip() for line in lines), *note])


def _cell(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _wrapped(lead: str, text: str) -> str:
    indent = " " * len(lead)
    return textwrap.fill(text, _width(), initial_indent=lead, subsequent_indent=indent, break_long_words=False)


def _width() -> int:
    """Return the number of characters in a line: `WIDTH`, or the width of a narrower terminal."""
    if not os.isatty(STANDARD_OUTPUT):
        return WIDTH
    return max(NARROWEST, min(WIDTH, shutil.get_terminal_size().columns))


def _without_controls(text: str) -> str:
    """Replace control characters by spaces, because they could change how a terminal behaves."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)
