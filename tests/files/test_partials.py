"""What killed runs left half written is removed; what a living run writes stays."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from retroscope.files import whole
from retroscope.files.partials import PARTIAL, new_beside, remove_abandoned
from retroscope.files.whole import new_folder, remove_whole, whole_file, whole_folder


def killed(folder: Path) -> None:
    """Die in the middle of a file, of a folder, and of the removal of one."""
    with whole_file(folder / "table.csv") as file, whole_folder(folder / "figures") as new:
        file.write(b"half")
        (new / "half.svg").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=killed, args=(tmp_path,))
    process.start()
    process.join()
    left = entries(tmp_path)
    assert [name.split(".")[1] for name in left] == ["figures", "table"]
    assert all(name.endswith(PARTIAL) for name in left)
    (tmp_path / ".mine.partial").touch()
    (tmp_path / "a.12345678.partial").touch()
    remove_abandoned(tmp_path)
    assert entries(tmp_path) == [".mine.partial", "a.12345678.partial"], "the user's own files stay"


def test_what_is_being_written_stays(tmp_path: Path) -> None:
    with whole_file(tmp_path / "table.csv") as file, whole_folder(tmp_path / "figures") as new:
        remove_abandoned(tmp_path)
        file.write(b"whole")
        (new / "one.svg").touch()
        assert len(entries(tmp_path)) == 2
    assert entries(tmp_path) == ["figures", "table.csv"]


def test_a_folder_whose_removal_was_stopped_is_removed(tmp_path: Path) -> None:
    with new_beside(tmp_path / "old") as beside:
        half = tmp_path / beside.name.replace(PARTIAL, "")
    (tmp_path / f".old.abcdefgh{PARTIAL}" / "new").mkdir(parents=True)
    (tmp_path / f".empty.abcdefgh{PARTIAL}").mkdir()
    remove_abandoned(tmp_path)
    assert entries(tmp_path) == []
    assert not half.exists()


def test_nothing_takes_a_place_after_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "file") as file:
        file.write(b"%d" % (1 // 0))
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "folder") as new:
        (new / "part").write_text(str(1 // 0))
    assert entries(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_content_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    sync, replace, rename = os.fsync, Path.replace, Path.rename

    monkeypatch.setattr(os, "fsync", lambda file: (steps.append("sync"), sync(file))[1])
    monkeypatch.setattr(Path, "replace", lambda old, new: (steps.append("move"), replace(old, new))[1])
    monkeypatch.setattr(Path, "rename", lambda old, new: (steps.append("move"), rename(old, new))[1])
    with whole_file(tmp_path / "file") as file:
        file.write(b"content")
    with new_folder(tmp_path / "folder") as new:
        for name in ("one", "two"):
            (new / name).write_text("content")
    assert steps == ["sync", "move", "sync", "sync", "move"]


def test_a_folder_is_removed_at_once(tmp_path: Path) -> None:
    (tmp_path / "tables" / "deep").mkdir(parents=True)
    remove_whole(tmp_path / "tables")
    remove_whole(tmp_path / "absent")
    assert entries(tmp_path) == []


@pytest.mark.parametrize("where", ["sync_folder", "rename"])
def test_a_folder_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    with whole_folder(tmp_path / "tables") as first:
        (first / "a.csv").write_text("old")
    before = sorted((tmp_path / "tables").iterdir())
    rename = Path.rename

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    def stopped_when_new(path: Path, target: Path) -> Path:
        return stopped() if path.name == "new" else rename(path, target)

    if where == "rename":
        monkeypatch.setattr(Path, "rename", stopped_when_new)
    else:
        monkeypatch.setattr(whole, where, stopped)
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "tables") as second:
        (second / "b.csv").write_text("new")
    assert entries(tmp_path) == ["tables"]
    assert sorted((tmp_path / "tables").iterdir()) == before


def test_a_folder_that_a_killed_run_had_moved_away_comes_back(tmp_path: Path) -> None:
    left = tmp_path / f".tables.abcdefgh{PARTIAL}"
    for name in ("old", "new"):
        (left / name).mkdir(parents=True)
        (left / name / f"{name}.csv").touch()
    (left / "owner").touch()
    assert remove_abandoned(tmp_path, name="figures") == []
    assert remove_abandoned(tmp_path) == [left]
    assert entries(tmp_path / "tables") == ["old.csv"]
