"""Write tables to disk: data frames as parquet and CSV, and tables for a paper as LaTeX."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd

from retroscope.files.whole import whole_folder, write_whole
from retroscope.typesetting.latex import PaperTable, booktabs

Named = TypeVar("Named")


def write_frames(
    frames: Mapping[str, pd.DataFrame],
    papers: Mapping[str, PaperTable],
    folder: Path,
    large: Mapping[str, pd.DataFrame] | None = None,
) -> list[Path]:
    """Write tables to `folder`, which replaces the tables of an earlier report. Tables without rows are not written.

    Args:
        frames: name -> table, written as parquet and CSV.
        papers: name -> table of a paper, written as LaTeX.
        folder: folder to write.
        large: name -> table that is written as parquet only, because it has too many rows for CSV.
    """
    contents = [
        (f"{name}{end}", encode(f)) for name, f in frames.items() if len(f) for end, encode in ENCODINGS.items()
    ]
    contents += [(f"{name}.parquet", _parquet(frame)) for name, frame in (large or {}).items() if len(frame)]
    contents += [(f"{name}.tex", booktabs(t, name).encode()) for name, t in papers.items() if len(t.frame)]
    with whole_folder(folder) as new:
        names = [write_whole(new / name, content).name for name, content in contents]
    return [folder / name for name in names]


def merge_named(parts: Sequence[Mapping[str, Named]]) -> dict[str, Named]:
    """Merge mappings from names to tables (or figures). No name may occur twice.

    Raises:
        ValueError: if a name occurs twice.
    """
    names = [name for part in parts for name in part]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"several tables, or several figures, have the name {', '.join(repeated)}: rename all but one")
    return {name: one for part in parts for name, one in part.items()}


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _csv(frame: pd.DataFrame) -> bytes:
    return str(frame.to_csv(index=False, lineterminator="\n")).encode()


ENCODINGS: dict[str, Callable[[pd.DataFrame], bytes]] = {".parquet": _parquet, ".csv": _csv}
