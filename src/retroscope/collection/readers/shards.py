"""Find the parquet files of each split in a folder, named SPLIT.parquet or as on the hub.

The hub's names are SPLIT-00000-of-00002.parquet in a repository, and SPLIT/0000.parquet in the hub's own
conversion to parquet.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from retroscope.collection.readers.rows import Row, RowSource, file_rows, first_row
from retroscope.errors import CollectionError

SHARD = re.compile(r"-(\d+)-of-(\d+)(-[0-9a-f]{16})?$")  # older uploads end in a hash
NUMBER = re.compile(r"\d{4}")
DATA = "data"
Splits = Mapping[str, RowSource]


def parquet_folder(path: Path) -> Path | None:
    """Return `path` or its subfolder "data", whichever has parquet files. Return None if neither has any.

    Raises:
        CollectionError: if both folders have parquet files.
    """
    folders = [folder for folder in (path, path / DATA) if _files(folder)]
    if len(folders) > 1:
        raise CollectionError(
            "this folder and the folder data in it both have parquet files, so it is unclear which of them to read",
            where=str(path),
            fix=f"give one of the two, e.g. {path / DATA}, or remove the parquet files of the other",
        )
    return folders[0] if folders else None


def first_of_parquet(path: Path) -> Row | None:
    """Return the first row of the first parquet file that `parquet_folder` finds, or None if there is none."""
    folder = parquet_folder(path) if path.is_dir() else None
    return None if folder is None else first_row(min(file for files in _files(folder).values() for file in files))


def parquet_splits(folder: Path) -> Splits:
    """Map each split to its rows. The parquet files of a split are read in the order of their names.

    Raises:
        CollectionError: for a split that lacks one of its files, or exists both as one file and in several parts.
    """
    shards = _files(folder)
    for name, files in shards.items():
        _check_complete(name, files, folder)
    return {name: partial(chained_rows, files) for name, files in shards.items()}


def _files(folder: Path) -> dict[str, list[Path]]:
    """Map each split to its parquet files, in the order of their names."""
    shards: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*.parquet")):
        shards.setdefault(SHARD.sub("", file.stem), []).append(file)
    for file in sorted(folder.glob("*/*.parquet")):
        if NUMBER.fullmatch(file.stem) and file.parent.name != DATA:
            shards.setdefault(file.parent.name, []).append(file)
    return shards


def chained_rows(files: Sequence[Path]) -> Iterator[Row]:
    """Yield the rows of the files, one file after another."""
    for file in files:
        yield from file_rows(file)


def _check_complete(split: str, files: Sequence[Path], folder: Path) -> None:
    parts = [(int(match[1]), int(match[2])) for file in files if (match := SHARD.search(file.stem))]
    whole = len(files) == 1 and not parts and files[0].parent == folder
    numbered = [file for file in files if file.parent != folder]
    if numbered and (numbered != files or [int(file.stem) for file in files] != [*range(len(files))]):
        raise CollectionError(
            f"the files of the split {split!r} must be numbered from 0000 without a gap; found: "
            f"{', '.join(str(file.relative_to(folder)) for file in files)}",
            where=str(folder),
            fix=f"download all of {split}/0000.parquet, {split}/0001.parquet ..., and remove other files of the split",
        )
    if not numbered and not whole and sorted(parts) != [(k, len(files)) for k in range(len(files))]:
        raise CollectionError(
            f"the split {split!r} lacks some of its files, or its file names have different totals (-of-N); found: "
            f"{', '.join(file.name for file in files)}",
            where=str(folder),
            fix=f"download all files with the same total, e.g. {split}-00000-of-00003.parquet to "
            f"{split}-00002-of-00003.parquet, and remove the other files of the split",
        )
