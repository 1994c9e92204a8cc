"""Damage that a disk, a copy or a user does to a file: drawn by a seed, so that each can be repeated."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

KINDS = ("flip", "cut", "delete")


@dataclass(frozen=True)
class Damage:
    """One damage: what was done to which file, and what the file held before."""

    file: Path
    kind: str
    sound: bytes

    def undo(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_bytes(self.sound)


def damage(file: Path, kind: str, seed: int) -> Damage:
    """Flip a byte at a random place, cut the file there, or delete it."""
    rng, sound = np.random.default_rng(seed), file.read_bytes()
    place = int(rng.integers(len(sound)))
    if kind == "flip":
        changed = bytearray(sound)
        changed[place] ^= int(rng.integers(1, 256))
        file.write_bytes(bytes(changed))
    elif kind == "cut":
        file.write_bytes(sound[:place])
    else:
        file.unlink()
    return Damage(file, kind, sound)


def each_damaged(files: Iterable[Path], kinds: Iterable[str] = KINDS, draws: int = 1) -> Iterator[Damage]:
    """Damage every file in every way, one at a time; each is as it was when the next comes."""
    for file in files:
        for kind in kinds:
            for draw in range(1 if kind == "delete" else draws):
                done = damage(file, kind, seed=draw)
                yield done
                done.undo()


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, by its path there; locks left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
