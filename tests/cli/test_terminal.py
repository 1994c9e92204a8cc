"""Progress on a terminal, and nothing of it anywhere else; folders that are claimed."""

from pathlib import Path

import pytest
from rich.console import Console

from retroscope import display
from retroscope.cli import terminal


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr(display, "monotonic", lambda: now[0])
    with display.progress_bars() as bars:
        for step in range(1, 201):
            now[0] += 1.0
            bars("training", step, 200)
    assert capsys.readouterr().err.splitlines() == [
        f"training: {n} of 200, 1.0/s, 0:0{(200 - n) // 60}:{(200 - n) % 60:02} left" for n in (2, 62, 122, 182)
    ]


@pytest.mark.parametrize("width", [30, 100])
def test_bars_name_what_is_done_and_names_are_text(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], width: int
) -> None:
    def console(stderr: bool) -> Console:
        assert stderr
        return Console(stderr=True, force_terminal=True, width=width, color_system=None)

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(display, "Console", console)
    with display.progress_bars() as bars:
        assert bars is not None
        for done in range(1, 5):
            bars("[/red] model[: x", done, 5)
            bars("other", done, 8)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "[/red]" in shown.err
    assert "4/5" in shown.err
    assert "4/8" in shown.err
    assert ("━" in shown.err) == (width == 100)


def test_a_folder_that_stayed_empty_goes_with_the_error(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()

    def stopped() -> None:
        with terminal.claimed(tmp_path / "mine", tmp_path / "new" / "out", tmp_path / "cache"):
            assert (tmp_path / "new" / "out").is_dir()
            (tmp_path / "cache" / "kept").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "mine"]


def test_a_folder_stays_where_all_went_well(tmp_path: Path) -> None:
    with terminal.claimed(tmp_path / "new" / "out"):
        pass
    assert (tmp_path / "new" / "out").is_dir()
