"""Cache the results of attention head ablations on disk, one array each, so that a stopped run resumes."""

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
    """Cache of the results of attention head ablations: a folder with one array file for each ablation.

    Attributes:
        folder: folder of the files. Its name is a hash of what determines all arrays: models, texts and settings.
    """

    folder: Path

    def of(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the array of this name: read from its file if that is intact, else computed and written to it.

        Args:
            name: name of the array's file without extension. Only letters, digits, "." and "-" are allowed.
            make: function that computes the array.
        """
        file = self.folder / f"{name}.npy"
        content = read_if_sound(file)
        if content is not None:
            stored: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
            return stored
        values = make()
        with checked_file(file) as new:
            np.save(new, values, allow_pickle=False)
        return values


def head_cells(cache: Path, made_of: object, origin: CacheOrigin) -> HeadCells:
    """Return the cache of attention head ablations for these models, texts and settings, and record its use.

    Args:
        cache: the cache folder of Retroscope.
        made_of: JSON-like values of all that determines the arrays: models, texts and settings.
        origin: models, collection and analysis, as the cache lists them to a user.
    """
    cells = HeadCells(cache / FOLDER / fingerprint([FORMAT, made_of])[:32])
    cells.folder.mkdir(parents=True, exist_ok=True)
    used(cells.folder, origin)
    return cells


def cell_origin(models: tuple[str, ...], collection: str, analysis: str) -> CacheOrigin:
    """Return a cache record that names the models, collection and analysis of attention head ablations."""
    return CacheOrigin(models=models, collection=collection, analysis=analysis, form=FORMAT)
