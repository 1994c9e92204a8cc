"""The engine of one process does what is missing, in order, and stops at the first error."""

from pathlib import Path

import pytest

from retroscope.engine.choice import LOCAL, Engine, engine_of
from retroscope.engine.ledger import Ledger
from retroscope.engine.local import run_here
from retroscope.engine.shards import Job, Shard
from retroscope.engine.storage import Storage
from retroscope.errors import SettingsError


class Copyist:
    """Writes the payload of each shard into a file of its own; `broken` ones fail."""

    def __init__(self, storage: Storage, broken: tuple[int, ...] = ()) -> None:
        self.storage, self.broken = storage, broken
        self.computed: list[int] = []

    def compute(self, payload: int) -> bytes:
        if payload in self.broken:
            raise ValueError(f"payload {payload}")
        self.computed.append(payload)
        return str(payload).encode()

    def write(self, payload: int, content: bytes) -> tuple[str, ...]:
        self.storage.write(f"files/{payload}", content)
        return (f"files/{payload}",)


def job(folder: Path, *broken: int, n: int = 5) -> Job:
    storage = Storage(folder)
    shards = (Shard(str(i), f"key {i}", 10, i) for i in range(n))
    return Job(Ledger(storage), shards, 10 * n, n, Copyist(storage, broken))


def test_every_shard_is_done_and_counted(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    tally = run_here(job(tmp_path), lambda done, total: told.append((done, total)))
    assert told == [(done, 50) for done in (0, 10, 20, 30, 40, 50)]
    assert (tally.done, tally.kept, tally.by_worker) == (50, 0, {"this process": 50})
    assert sorted(path.read_text() for path in (tmp_path / "files").iterdir()) == list("01234")


def test_the_first_error_ends_the_run_and_what_is_done_stays_done(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="payload 3"):
        run_here(job(tmp_path, 3))
    again = job(tmp_path)
    told: list[tuple[int, int]] = []
    tally = run_here(again, lambda done, total: told.append((done, total)))
    assert again.worker.computed == [3, 4]  # type: ignore[attr-defined]
    assert told == [(0, 50), (0, 50), (30, 50), (40, 50), (50, 50)]
    assert (tally.done, tally.kept) == (20, 30)


def test_a_finished_job_computes_nothing(tmp_path: Path) -> None:
    LOCAL.run(job(tmp_path))
    again = job(tmp_path)
    assert LOCAL.run(again).kept == 50
    assert again.worker.computed == []  # type: ignore[attr-defined]


def test_what_is_done_again_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    LOCAL.run(job(tmp_path))
    (tmp_path / "files/2").write_text("3")
    Engine(told=told.append).run(job(tmp_path))
    assert told == ["1 shard was damaged, so it was computed again"]
    assert (tmp_path / "files/2").read_text() == "2"


def test_a_job_that_only_this_process_can_do_is_done_here(tmp_path: Path) -> None:
    assert Engine("ray").run(job(tmp_path)).by_worker == {"this process": 50}


def test_engines_are_named_as_they_are_typed() -> None:
    assert engine_of("local") == LOCAL
    assert engine_of("ray", 3) == Engine("ray", None, 3)
    assert engine_of("ray:10.0.0.1:6379") == Engine("ray", "10.0.0.1:6379")


@pytest.mark.parametrize(
    ("text", "workers", "message"),
    [
        ("rai", None, r"unknown engine 'rai'\n  fix: did you mean 'ray'"),
        (
            "local:here",
            None,
            "'local' runs in this process, so it takes no cluster address and no number of workers"
            "\n  fix: leave out the address",
        ),
        ("local", 2, "'local' runs in this process, so it takes no cluster address and no number of workers"),
        ("ray", 0, "workers is 0, which is too few\n  fix: give at least 1"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(text: str, workers: int | None, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        engine_of(text, workers)
