"""Lines of a terminal: at most 100 characters, fewer in a narrower one; a file does not depend on the terminal."""

import os

import pytest

from retroscope.typesetting.console import bullet_list, paragraph

TEXT = "fine-tuning raised the measure on every one of the queries " * 6


@pytest.mark.parametrize(("columns", "longest"), [(200, 100), (80, 80), (30, 50)])
def test_a_line_fits_into_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, longest: int) -> None:
    monkeypatch.setattr(os, "isatty", lambda descriptor: descriptor == 1)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, 24)))
    for text in (paragraph(TEXT), bullet_list("list", [TEXT])):
        assert longest - 12 < max(map(len, text.splitlines())) <= longest


def test_a_file_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(len, paragraph(TEXT).splitlines())) > 88
