"""Reading what others made: only regular files, within limits, and every error of a library as one of ours."""

import errno
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_case import BROKEN_JSON, put
from hostile_collections import bomb
from hostile_models import ODD, odd

from retroscope.errors import LONGEST_FIX, LONGEST_VALUE, CollectionError, RetroscopeError, SettingsError, excerpt
from retroscope.files import reading
from retroscope.files.reading import check_file, file_lines, foreign, open_bytes, path_of, read_whole
from retroscope.files.strict_json import BrokenJsonError, parse_json
from retroscope.inputs.load import read_lines


class PanicException(BaseException):
    """What a library in Rust raises when it panics: no `Exception`."""


@pytest.mark.parametrize("kind", ODD)
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    odd(kind, tmp_path / "x")
    for read in (check_file, read_whole, lambda path, error: next(file_lines(path, error))):
        with pytest.raises(CollectionError, match=r"/x: (this is a|this cannot be read: Too many|no such file)"):
            read(tmp_path / "x", CollectionError)


def test_a_file_without_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(
        CollectionError, match=r"there is no permission to read this file\n  fix: change its permissions"
    ):
        check_file(put(tmp_path / "x", "a"), CollectionError)


@pytest.mark.parametrize("text", ["~nosuchuser/x", "x" * 5000, "/" + "x" * 300, "a\0b"], ids=lambda text: text[:12])
def test_what_no_path_can_be_called_is_refused(text: str) -> None:
    with pytest.raises(CollectionError, match="invalid path") as error:
        path_of(text, CollectionError)
    assert len(str(error.value)) < 400


def test_a_path_need_not_exist(tmp_path: Path) -> None:
    assert path_of(tmp_path / "none", CollectionError) == tmp_path / "none"
    assert path_of("~/x", CollectionError) == Path.home() / "x"
    assert path_of(put(tmp_path / "file", "") / "below", CollectionError).name == "below"


@pytest.mark.parametrize(
    "error",
    [KeyError("a"), ValueError("first\nsecond"), RecursionError("deep"), OSError(5, "Input"), PanicException("in Rust")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_whatever_a_library_raises_becomes_one_of_ours(error: BaseException) -> None:
    with pytest.raises(CollectionError, match=r"^the file: cannot read it \(.+\)\n  fix: mend it$") as ours:  # noqa: SIM117
        with foreign(CollectionError, "cannot read it", "the file", "mend it"):
            raise error
    assert ours.value.__cause__ is error
    assert "second" not in str(ours.value)


def test_an_error_of_ours_keeps_its_words_and_gets_the_place_that_it_lacks() -> None:
    for own, place in (("", "the file"), ("line 2", "line 2")):
        with pytest.raises(SettingsError, match=rf"^{place}: wrong\n  fix: mend this$"):  # noqa: SIM117
            with foreign(CollectionError, "cannot read it", "the file", "mend it"):
                raise SettingsError("wrong", where=own, fix="mend this")


def test_a_lack_of_memory_says_so_and_asks_for_other_than_the_file_to_be_mended() -> None:
    with (
        pytest.raises(
            CollectionError, match=r"^the file: cannot read it: there is not enough memory\n  fix: use a smaller"
        ),
        foreign(CollectionError, "cannot read it", "the file", "mend it"),
    ):
        raise MemoryError


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(3), OSError(errno.ENOSPC, "full"), CollectionError("ours")]
)
def test_what_is_no_fault_of_the_file_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:  # noqa: SIM117
        with foreign(RetroscopeError, "cannot read it", "here"):
            raise error
    assert raised.value is error


def test_a_message_never_repeats_a_megabyte() -> None:
    error = CollectionError("x" * 10**6, where="y" * 10**6, fix="z" * 10**6)
    assert len(str(error)) < 3 * LONGEST_FIX
    assert "(1,000,000 characters)" in error.what
    for value in ("x" * 10**6, ["x" * 10**6], 10**9000, {"a": b"x" * 10**6}):
        assert len(excerpt(value)) < LONGEST_VALUE + 40


@pytest.mark.parametrize(
    "name", [name for name in BROKEN_JSON if name not in ("a list", "a number", "null", "not UTF-8")]
)
def test_broken_json_is_one_error(name: str) -> None:
    with pytest.raises(BrokenJsonError) as error:
        parse_json(BROKEN_JSON[name].decode())
    assert len(error.value.what) < 300


@pytest.mark.parametrize(("size", "unit"), [(2**26, b"a"), (2**26, b"\n"), (2**26, b" ")])
def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path, size: int, unit: bytes) -> None:
    path = put(tmp_path / "x.gz", bomb(size, unit))
    with pytest.raises(
        CollectionError,
        match=r"unpacks to more than 100 times its size|this line is longer than 32 MiB|more than 100,000 empty lines",
    ):
        for _ in file_lines(path, CollectionError):
            pass


def test_what_unpacks_to_little_is_read_however_well_it_packs(tmp_path: Path) -> None:
    path = put(tmp_path / "x.gz", gzip.compress(b"a\n" * 10**6))
    assert sum(1 for _ in file_lines(path, CollectionError)) == 10**6
    with open_bytes(path, CollectionError) as file:
        file.seek(-2, os.SEEK_END) if file.seekable() else None
        assert file.read() == b"a\n"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:40] + bytes(60) + data[100:],
        lambda data: data[:-8] + bytes(8),
    ],
)
def test_a_damaged_gzip_is_an_error(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = put(tmp_path / "x.gz", damage(gzip.compress(os.urandom(5000))))
    with pytest.raises(CollectionError, match=r"x\.gz: damaged gzip"):  # noqa: SIM117
        with open_bytes(path, CollectionError) as file:
            file.read()


def test_a_long_line_names_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 2**20)
    path = put(tmp_path / "x", b"short\n" + b"a" * 2**21)
    with pytest.raises(CollectionError, match=r"x, line 2: this line is longer than 1 MiB"):
        list(file_lines(path, CollectionError))
    assert len(list(file_lines(put(tmp_path / "y", b"a" * 2**20), CollectionError))) == 1


def test_a_document_has_a_largest_size(tmp_path: Path) -> None:
    path = put(tmp_path / "x", b"a" * 100)
    assert read_whole(path, CollectionError, 100) == "a" * 100
    with pytest.raises(CollectionError, match="larger than"):
        read_whole(path, CollectionError, 99)


def test_a_parquet_file_is_no_list_of_texts(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="this is a parquet file, and not one text a line"):
        read_lines(put(tmp_path / "x", b"PAR1" + bytes(100) + b"PAR1"))


def test_a_place_that_a_reader_adds_later_is_cut() -> None:
    error = CollectionError("wrong")
    error.where = "x" * 10**6
    assert len(str(error)) < LONGEST_FIX + 100
