"""A full or read-only disk is recognised in what any library raises."""

import errno
import os

import pytest

from retroscope.errors import RepresentationError
from retroscope.files.disk_errors import is_full, refused_by_system


def refusal(number: int) -> OSError:
    return OSError(number, os.strerror(number), "runs/out")


def wrapped(cause: BaseException) -> Exception:
    try:
        try:
            raise cause
        except type(cause) as error:
            raise RepresentationError("a store is damaged") from error
    except RepresentationError as error:
        return error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk(number: int) -> None:
    for error in (refusal(number), wrapped(refusal(number))):
        said = refused_by_system(error)
        assert said is not None
        assert (said.what, said.where) == ("the disk is full", "runs/out")
        assert "repeat the command" in said.fix


@pytest.mark.parametrize(
    "said",
    ["Error while serializing: I/O error: No space left on device (os error 28)",
     "[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0",
     "PytorchStreamWriter failed writing file data/0: file write failed"],
)  # fmt: skip
def test_a_full_disk_in_the_words_of_a_library(said: str) -> None:
    assert is_full(RuntimeError(said))


def test_a_refusal_of_the_system() -> None:
    said = refused_by_system(refusal(errno.EROFS))
    assert said is not None
    assert (said.what, said.where) == ("the operating system refused access: Read-only file system", "runs/out")


@pytest.mark.parametrize("error", [refusal(errno.ENOENT), ValueError("28"), KeyError("x")])
def test_other_errors_are_not_explained_away(error: Exception) -> None:
    assert refused_by_system(error) is None
