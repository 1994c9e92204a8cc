"""A folder that a run writes to is locked; the lock of a run that is gone stops nobody."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from retroscope.errors import SettingsError
from retroscope.files.locks import LOCK, held

FORK = multiprocessing.get_context("fork")


def try_it(folder: Path, answer: "multiprocessing.SimpleQueue[str]") -> None:
    try:
        with held(folder):
            answer.put("held")
    except SettingsError as error:
        answer.put(error.what)


def die_holding(folder: Path) -> None:
    with held(folder):
        os.kill(os.getpid(), signal.SIGKILL)


def elsewhere(folder: Path) -> str:
    """What another process is told that wants the folder."""
    answer = FORK.SimpleQueue()
    process = FORK.Process(target=try_it, args=(folder, answer))
    process.start()
    said = answer.get()
    process.join()
    return said


def test_another_process_is_refused_as_long_as_it_is_held(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with held(folder):
        with held(tmp_path / "out" / ".." / "out"):
            pass
        assert elsewhere(folder) == "another run is writing to this folder"
    assert elsewhere(folder) == "held"
    assert list(folder.iterdir()) == [], "no lock file is left"


def test_a_stale_lock_stops_nobody(tmp_path: Path) -> None:
    process = FORK.Process(target=die_holding, args=(tmp_path,))
    process.start()
    process.join()
    assert (tmp_path / LOCK).exists()
    with held(tmp_path):
        pass
    assert not (tmp_path / LOCK).exists()


def test_a_block_that_fails_releases_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), held(tmp_path):
        raise ValueError("stop")
    assert elsewhere(tmp_path) == "held"
