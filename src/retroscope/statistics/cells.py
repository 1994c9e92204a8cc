"""Convert scores to a plain table (query, cell) for statistics, and cells back to labels."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from retroscope.errors import AnalysisError, listed, unknown_name
from retroscope.scores import QUERY, Scores


def cell_values(scores: Scores) -> Float[np.ndarray, "query cell"]:
    """Return the scores as a table: a row per query in order of ids, a column per cell (combination of labels).

    Raises:
        AnalysisError: if a score is infinite. A missing one must be NaN.
    """
    infinite = np.isinf(scores.values.values).reshape(len(scores.query_ids), -1).any(axis=1)
    if infinite.any():
        ids = [i for i, bad in zip(scores.query_ids, infinite, strict=True) if bad]
        raise AnalysisError(
            f"these queries have infinite scores, so there is no mean:{listed(ids)}",
            where=scores.name,
            fix="give NaN for scores that were not measured, or use a measure that is never infinite",
        )
    order = np.argsort(np.array(scores.query_ids, dtype=np.str_), kind="stable")
    values = np.asarray(scores.values.values, dtype=np.float64)[order]
    return values.reshape(len(values), int(np.prod(values.shape[1:])))


def to_table(scores: Scores, columns: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Return columns of numbers by cell as a data set over the labels of `scores`."""
    dims, shape = scores.values.dims[1:], scores.values.shape[1:]
    coords = {name: coord for name, coord in scores.values.coords.items() if QUERY not in coord.dims}
    return xr.Dataset({name: (dims, column.reshape(shape)) for name, column in columns.items()}, coords=coords)


def cell_names(scores: Scores, cells: Sequence[int]) -> list[str]:
    """Return readable names of these cells for messages, such as "layer=6, probe=cosine"."""
    dims, shape = scores.values.dims[1:], scores.values.shape[1:]
    names = []
    for cell in cells:
        at = zip(dims, np.unravel_index(cell, shape), strict=True) if dims else ()
        names.append(", ".join(f"{dim}={scores.values[dim].values[k]}" for dim, k in at) or "the only cell")
    return names


def families(scores: Scores, per: Sequence[str], headline: tuple[str, str] | None = None) -> Int[np.ndarray, "cell"]:
    """Return the number of each cell's family of tests: one family for each label of the dimensions `per`.

    Cells of the `headline` (dimension, label) form families separate from the others.
    """
    dims = [str(dim) for dim in scores.values.dims[1:]]
    for name in (*per, *(headline[:1] if headline else ())):
        if name not in dims:
            raise unknown_name("dimension", name, dims)
    shape = scores.values.shape[1:]
    axes = [dims.index(name) for name in per]
    number = np.zeros(shape, dtype=np.int64)
    for axis in axes:
        number = number * shape[axis] + np.indices(shape)[axis]
    if headline:
        declared = scores.values.indexes[headline[0]] == headline[1]
        number = number * 2 + ~declared[np.indices(shape)[dims.index(headline[0])]]
    return np.unique(number, return_inverse=True)[1].ravel() if number.size else number.ravel()
