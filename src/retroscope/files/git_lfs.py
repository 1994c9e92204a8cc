"""Recognise a Git LFS pointer: a small text file that replaces a large file which was not downloaded."""

from pathlib import Path

from retroscope.errors import RetroscopeError

POINTER = b"version https://git-lfs.github.com/spec/"


def refuse_pointer(path: Path, kind: type[RetroscopeError]) -> None:
    """Check that a file is not a Git LFS pointer.

    Raises:
        RetroscopeError: an error of the class `kind`, if the file is a pointer.
    """
    with path.open("rb") as file:
        is_pointer = file.read(len(POINTER)) == POINTER
    if is_pointer:
        raise kind(
            "this is a pointer of Git LFS, not the file itself",
            where=str(path),
            fix=f"run `git lfs pull` in {path.parent}, or download the file",
        )
