"""Recognise a Git LFS pointer: a small text in place of a large file that was not downloaded."""

from pathlib import Path

from retroscope.errors import RetroscopeError

POINTER = b"version https://git-lfs.github.com/spec/"


def refuse_pointer(path: Path, kind: type[RetroscopeError]) -> None:
    """Refuse a file that is a Git LFS pointer.

    Raises:
        RetroscopeError: an error of the given kind, if the file is such a pointer.
    """
    with path.open("rb") as file:
        is_pointer = file.read(len(POINTER)) == POINTER
    if is_pointer:
        raise kind(
            "this is a pointer of Git LFS, not the file itself",
            where=str(path),
            fix=f"run `git lfs pull` in {path.parent}, or download the file",
        )
