"""Draw random questions of a data set, so that the passages of the other questions need not be encoded."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retroscope.errors import CollectionError
from retroscope.files.reading import foreign
from retroscope.files.whole import whole_folder

QUESTION = "question"


def drawn_rows(folder: Path, split: str, queries: int, target: Path) -> Path:
    """Write the rows of randomly drawn questions as a smaller data set, unless it exists, and return its folder.

    The draw depends only on the questions of the data set. A larger draw contains a smaller one.

    Args:
        folder: folder of the whole data set, with files SPLIT-*.parquet.
        split: name of the split, e.g. "train".
        queries: number of questions to draw.
        target: folder for the file SPLIT.parquet.

    Raises:
        CollectionError: if the files cannot be read.
    """
    if (target / f"{split}.parquet").exists():
        return target
    files = sorted(folder.glob(f"{split}-*.parquet"))
    with foreign(CollectionError, "damaged parquet", folder, "fetch the data set again"):
        questions = dict.fromkeys(text for table in _tables(files, [QUESTION]) for text in table[QUESTION].to_pylist())
        order = np.random.default_rng(0).permutation(len(questions))[:queries]
        texts = list(questions)
        drawn = pa.array([texts[place] for place in order], pa.string())
        rows = [table.filter(pc.is_in(table[QUESTION], drawn)) for table in _tables(files)]
        with whole_folder(target) as new:
            pq.write_table(pa.concat_tables(rows), new / f"{split}.parquet")
    return target


def _tables(files: list[Path], columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield the table of each parquet file, one at a time, so that only one is in memory.

    Args:
        columns: columns to read; None: all.
    """
    for file in files:
        yield pq.read_table(file, columns=columns)
