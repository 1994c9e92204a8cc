"""Convert scores to a table with one row per query and one column per cell, and columns back to labels.

A cell is one combination of labels, e.g. layer 6 of the probe "cosine".
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from retroscope.errors import AnalysisError, listed, unknown_name
from retroscope.scores import QUERY, Scores


def cell_values(scores: Scores) -> Float[np.ndarray, "query cell"]:
    """Return the scores as a table with a row per query, in order of the ids, and a column per combination of labels.

    Raises:
        AnalysisError: if a score is infinite. A missing score must be NaN.
    """
    infinite = np.isinf(scores.values.values).reshape(len(scores.query_ids), -1).any(axis=1)
    if infinite.any():
        ids = [i for i, bad in zip(scores.query_ids, infinite, strict=True) if bad]
        raise AnalysisError(
            f"the scores of these queries are infinite, so the mean over queries is not defined:{listed(ids)}",
            where=scores.name,
            fix="set scores that were not measured to NaN, or use a measure that is never infinite",
        )
    order = np.argsort(np.array(scores.query_ids, dtype=np.str_), kind="stable")
    values = np.asarray(scores.values.values, dtype=np.float64)[order]
    return values.reshape(len(values), int(np.prod(values.shape[1:])))


def to_table(scores: Scores, columns: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Return an xarray data set with one variable for each entry of `columns`, over the label dimensions of `scores`.

    Args:
        columns: name -> one number per combination of labels, in the order of `cell_values`.
    """
    dims, shape = scores.values.dims[1:], scores.values.shape[1:]
    coords = {name: coord for name, coord in scores.values.coords.items() if QUERY not in coord.dims}
    return xr.Dataset({name: (dims, column.reshape(shape)) for name, column in columns.items()}, coords=coords)


def cell_names(scores: Scores, cells: Sequence[int]) -> list[str]:
    """Return the labels of some cells (combinations of labels) for messages, e.g. "layer=6, probe=cosine".

    Args:
        cells: column indices in `cell_values`.
    """
    dims, shape = scores.values.dims[1:], scores.values.shape[1:]
    names = []
    for cell in cells:
        at = zip(dims, np.unravel_index(cell, shape), strict=True) if dims else ()
        names.append(", ".join(f"{dim}={scores.values[dim].values[k]}" for dim, k in at) or "the only cell")
    return names


def families(scores: Scores, per: Sequence[str], headline: tuple[str, str] | None = None) -> Int[np.ndarray, "cell"]:
    """Return, for each combination of labels (cell), the index of the family of tests in which its p is corrected.

    Cells are in one family if they have the same labels in all dimensions of `per`, e.g. one family per measure for
    ("measure",). If a `headline` (dimension, label) is given, each of these families is divided into two: the cells
    with the headline label, and the cells with any other label.
    """
    dims = [str(dim) for dim in scores.values.dims[1:]]
    for name in (*per, *(headline[:1] if headline else ())):
        if name not in dims:
            raise unknown_name("dimension", name, dims)
    shape = scores.values.shape[1:]
    axes = [dims.index(name) for name in per]
    family = np.zeros(shape, dtype=np.int64)
    for axis in axes:
        family = family * shape[axis] + np.indices(shape)[axis]
    if headline:
        is_headline = scores.values.indexes[headline[0]] == headline[1]
        family = family * 2 + ~is_headline[np.indices(shape)[dims.index(headline[0])]]
    return np.unique(family, return_inverse=True)[1].ravel() if family.size else family.ravel()
