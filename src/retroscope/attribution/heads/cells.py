"""Cache the arrays of single head ablations on disk, so that a stopped run resumes."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retroscope.files.cache_records import CacheOrigin, used
from retroscope.files.checksums import read_if_sound
from retroscope.files.documents import fingerprint
from retroscope.files.whole import checked_file

FOLDER = "heads"  # of the cache
FORMAT = 1  # of the cells: another number is another key


@dataclass(frozen=True)
class HeadCells:
    """Folder of cached arrays for one model and one plan of head ablations, one file for each ablation.

    Attributes:
        folder: folder of the cells. Its name is a hash of everything that determines them, except their own names.
    """

    folder: Path

    def of(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the named array: read from the folder if it is intact, else computed and written.

        Args:
            name: name of its file; letters, digits, "." and "-" only.
        """
        file = self.folder / f"{name}.npy"
        content = read_if_sound(file)
        if content is not None:
            stored: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
            return stored
        made = make()
        with checked_file(file) as new:
            np.save(new, made, allow_pickle=False)
        return made


def head_cells(cache: Path, made_of: object, origin: CacheOrigin) -> HeadCells:
    """Open the cache folder for ablations determined by `made_of` (JSON-like), and record its use.

    Args:
        made_of: everything that determines the numbers: models, texts, settings.
    """
    cells = HeadCells(cache / FOLDER / fingerprint([FORMAT, made_of])[:32])
    cells.folder.mkdir(parents=True, exist_ok=True)
    used(cells.folder, origin)
    return cells


def cell_origin(models: tuple[str, ...], collection: str, analysis: str) -> CacheOrigin:
    """Return the models, collection and analysis of cached arrays, for the record in the cache."""
    return CacheOrigin(models=models, collection=collection, analysis=analysis, form=FORMAT)
