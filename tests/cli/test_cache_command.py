"""`retroscope cache`: what it lists, what it removes, and its exit codes."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Cli

from retroscope.cli.exit_codes import UNSOUND, USER_ERROR
from retroscope.encoders.token_memory import TokenMemory
from retroscope.files.cache_records import EntryKind, damaged_file
from retroscope.files.whole import checked_file, whole_file, whole_folder
from retroscope.study.cache import entries
from retroscope.study.cache.care import clean_cache, repair_cache, verify_cache
from retroscope.study.cache.entries import cache_entries, entry_kinds
from toy_analysis import ANALYSIS


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    memory = TokenMemory(tmp_path / "tokens")
    memory.rows(b"reading", ["one", "two"], lambda texts: [[len(text)] for text in texts])
    memory.save()
    return tmp_path


def test_it_lists_and_names_what_is_damaged(cli: Cli, cache: Path) -> None:
    sound = json.loads(cli("cache", "--cache", str(cache), "--verify", "--json").out)
    (entry,) = sound["entries"]
    assert (entry["kind"], entry["outdated"], sound["damaged"], sound["removed"]) == ("tokens", False, [], [])
    assert sound["bytes"] == entry["bytes"] == sum(f.stat().st_size for f in cache.rglob("*") if f.is_file())

    (file,) = cache.glob("tokens/*/*.arrow")
    file.write_bytes(file.read_bytes()[:-1])
    named = cli("cache", "--cache", str(cache), "--verify")
    assert (named.code, f"damaged: {file}" in named.out.splitlines()) == (UNSOUND, True)
    repaired = cli("cache", "--cache", str(cache), "--repair", "--verify")
    assert "removed 1 path, which freed" in repaired.out
    assert "no file is damaged" in repaired.out
    assert not file.exists()


def test_a_size_of_nothing_and_a_folder_that_is_not_there_are_refused(cli: Cli, cache: Path) -> None:
    assert "invalid size '0'" in cli("cache", "--cache", str(cache), "--max-size", "0").err
    missing = cli("cache", "--cache", str(cache / "no"))
    assert (missing.code, "this cache folder does not exist" in missing.err) == (USER_ERROR, True)
    assert not (cache / "no").exists()


def test_the_cache_is_made_to_fit(cli: Cli, cache: Path) -> None:
    assert "0 entries, 0 B" in cli("cache", "--cache", str(cache), "--max-size", "1B").out
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_clean_leaves_what_is_being_written(cache: Path) -> None:
    with whole_file(cache / "neurons-x.npz") as file, whole_folder(cache / "measurements" / "y") as new:
        file.write(b"whole")
        (new / "one").touch()
        assert clean_cache(cache).paths == ()
    assert (cache / "measurements" / "y" / "one").exists()
    left = cache / ".z.abcdefgh.partial"
    left.write_bytes(b"half")
    assert left in clean_cache(cache).paths
    assert not left.exists()


def test_what_the_system_refuses_is_no_damage(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = cache.glob("tokens/*/*.arrow")

    def refused(path: Path) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(OSError, match="Too many open files"):
        repair_cache(cache)
    assert file.exists()


def test_every_kind_has_a_name_and_a_place_of_its_own() -> None:
    kinds = entry_kinds()
    assert {kind.name for kind in kinds} == {"vectors", "tokens", "measurements", "neurons", "heads", "transplants"}
    assert len({kind.pattern for kind in kinds}) == len(kinds)


def test_what_an_analysis_of_another_package_keeps_is_listed_and_verified(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "guesses").mkdir()
    with checked_file(cache / "guesses" / "one.npy") as file:
        file.write(b"guesses")
    assert [one.kind.name for one in cache_entries(cache)] == ["tokens"]
    instrument = replace(ANALYSIS.instrument(), keeps=(EntryKind("guesses", "guesses/*", 1, False, damaged_file),))
    monkeypatch.setattr(entries, "analyses", lambda: {"toy": replace(ANALYSIS, instrument=lambda: instrument)})
    assert {one.kind.name for one in cache_entries(cache)} == {"tokens", "guesses"}
    assert verify_cache(cache) == []
    (cache / "guesses" / "one.npy").write_bytes(b"other")
    assert verify_cache(cache) == [cache / "guesses" / "one.npy"]
