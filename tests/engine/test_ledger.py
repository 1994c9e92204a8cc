"""A shard is done when its record and the content of its files say so, and never because a file exists."""

from dataclasses import replace
from pathlib import Path

import pytest

from retroscope.engine.ledger import Ledger, Standing
from retroscope.engine.storage import Storage, is_url
from retroscope.errors import EngineError

EQUIPMENT = {"device": "cpu AVX2", "torch": "2.13.0"}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger with one shard that is done, of two files."""
    storage = Storage(tmp_path / "v")
    storage.write("a/0", b"one")
    storage.write("b/0", b"two")
    made = Ledger(storage, EQUIPMENT)
    made.complete("0", "key", ("a/0", "b/0"))
    return made


def test_a_shard_is_done_with_its_record_and_files(ledger: Ledger) -> None:
    assert ledger.standing("0", "key") is Standing.DONE
    assert ledger.records() == 1
    assert ledger.standing("1", "key") is Standing.ABSENT


def test_a_file_without_a_record_counts_for_nothing(ledger: Ledger) -> None:
    ledger.clear()
    assert ledger.storage.read("a/0") == b"one"
    assert (ledger.standing("0", "key"), ledger.records()) == (Standing.ABSENT, 0)


@pytest.mark.parametrize("content", [b"onE", b"", b"one and more", None])
def test_a_file_that_changed_is_damaged(ledger: Ledger, content: bytes | None) -> None:
    if content is None:
        (Path(ledger.storage.place) / "a/0").unlink()
    else:
        ledger.storage.write("a/0", content)
    assert ledger.standing("0", "key") is Standing.DAMAGED


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"key": "key"}', b'{"key": "other", "files": {}}'])
def test_a_record_that_is_damaged_or_of_another_key_counts_for_nothing(ledger: Ledger, content: bytes) -> None:
    ledger.storage.write(".shards/0.json", content)
    assert ledger.standing("0", "key") is Standing.DAMAGED


def test_a_record_of_other_equipment_is_named_so(ledger: Ledger) -> None:
    other = replace(ledger, equipment={**EQUIPMENT, "device": "NVIDIA H200"})
    assert other.standing("0", "key") is Standing.FOREIGN


def test_a_record_is_not_written_for_a_file_that_is_not_there(ledger: Ledger) -> None:
    with pytest.raises(
        EngineError, match=r"the file c/0 is missing, although shard 1 was just written\n  fix: repeat the command"
    ):
        ledger.complete("1", "key", ("a/0", "c/0"))
    assert ledger.standing("1", "key") is Standing.ABSENT


def test_clearing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    Ledger(Storage(tmp_path / "nothing")).clear()
    assert Ledger(Storage(tmp_path / "nothing")).records() == 0


@pytest.mark.parametrize(
    ("place", "url"),
    [("s3://bucket/prefix", True), ("gs://bucket", True), ("folder/s3", False), (Path("s3:/bucket"), False)],
)
def test_urls_are_told_from_folders(place: str | Path, url: bool) -> None:
    assert is_url(place) is url
