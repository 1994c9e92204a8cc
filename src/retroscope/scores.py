"""The type `Scores`: one number for each query, labelled by layer, probe, measure and so on.

Dimensions have names and the first is always `query`, so that two retrievers are
paired by query id and never by position. Nothing here imports torch.
"""

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from zarr.abc.buffer import Buffer
from zarr.abc.store import Store
from zarr.buffer import cpu
from zarr.storage import MemoryStore

from retroscope.errors import SHOWN, AnalysisError, listed
from retroscope.files.reading import PathLike, path_of
from retroscope.notebook import html_table

if TYPE_CHECKING:
    import pandas as pd

QUERY = "query"
TEXT = "text"  # coordinate of the queries: an integer, equal for queries with equal texts


@dataclass(frozen=True)
class Scores:
    """Scores of an analysis: a number for each query and combination of labels, e.g. of layer and probe.

    Attributes:
        name: what was measured, e.g. "retrieval" or "probing".
        values: float array, first dimension `query` (coordinate: query ids, distinct). Every dimension has labels. NaN
            marks a query that was not measured under that label. The optional coordinate `text` of the queries is an
            integer, equal for queries with equal texts.
        recipe: inputs and settings of the measurement, JSON-like; stored with the scores.
        warnings: reasons not to trust the scores, e.g. a failed self-test; never dropped.
        passages: query id -> ids of the passages that affect its score (relevant passages, candidates). Queries that
            share a passage are not independent.
    """

    name: str
    values: xr.DataArray
    recipe: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    passages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.values.dims or self.values.dims[0] != QUERY:
            raise AnalysisError(
                f"scores need {QUERY!r} as their first dimension, got {self.values.dims}",
                where=self.name,
                fix="transpose the array: values.transpose('query', ...); to select queries, give a list of ids",
            )
        ids = self.values.indexes.get(QUERY)
        if ids is None:
            raise AnalysisError(
                "the scores have no query ids",
                where=self.name,
                fix="give the array a coordinate 'query' that holds the ids",
            )
        if not ids.is_unique:
            repeated = [str(i) for i in ids[ids.duplicated()].unique()]
            raise AnalysisError(
                f"these query ids occur more than once:{listed(repeated)}", where=self.name, fix="score each query once"
            )
        bare = [str(dim) for dim in self.values.dims if dim not in self.values.indexes]
        if bare:
            raise AnalysisError(
                f"these dimensions have no labels: {', '.join(bare)}",
                where=self.name,
                fix="give the array a coordinate for each of these dimensions",
            )

    def _repr_html_(self) -> str:
        cells = self.mean().to_series() if self.values.ndim > 1 else None
        rows = [("mean", f"{float(self.mean()):.3f}")] if cells is None else _labelled_means(cells)
        sizes = ", ".join(f"{size} of {dim}" for dim, size in self.values.sizes.items())
        return html_table(f"Scores {self.name}: {sizes}", [*rows, *(("warning", w) for w in self.warnings)])

    @property
    def query_ids(self) -> list[str]:
        """Return the ids of the queries, in order."""
        return [str(i) for i in self.values.coords[QUERY].values]

    @property
    def texts(self) -> np.ndarray | None:
        """Return an integer for each query, equal for queries with equal texts, or None if the texts are unknown.

        Unknown texts count as distinct.
        """
        return np.asarray(self.values.coords[TEXT].values) if TEXT in self.values.coords else None

    def with_texts(self, texts: Mapping[str, int]) -> "Scores":
        """Return the scores with a coordinate `text`: an integer for each query, equal for queries with equal texts."""
        numbers = np.array([texts[i] for i in self.query_ids], dtype=np.int64)
        return replace(self, values=self.values.assign_coords({TEXT: (QUERY, numbers)}))

    def select(self, **labels: object) -> "Scores":
        """Return the part of the scores that has these labels, e.g. `select(layer=6, probe="cosine")`."""
        try:
            return replace(self, values=self.values.sel(labels))
        except (KeyError, ValueError) as error:
            raise AnalysisError(
                f"there are no scores with the labels {labels}",
                where=self.name,
                fix=self._choices(labels),
            ) from error

    def _choices(self, labels: Mapping[str, object]) -> str:
        """Return advice for unknown labels: the labels of these dimensions, or all dimensions if one does not exist."""
        known = [dim for dim in labels if dim in self.values.indexes]
        if len(known) < len(labels):
            return f"use the dimensions {', '.join(map(str, self.values.dims))}"
        have = {dim: [str(v) for v in self.values.indexes[dim]] for dim in known}
        return "; ".join(
            f"for {dim}, use one of {', '.join(names[:SHOWN])}{' ...' if len(names) > SHOWN else ''}"
            for dim, names in have.items()
        )

    def mean(self) -> xr.DataArray:
        """Return the mean over queries for every combination of labels. Queries that were not measured are left out."""
        return self.values.mean(QUERY, skipna=True)

    def save(self, store: PathLike, group: str) -> None:
        """Write the scores to `group` of the zarr store at `store`, replacing what that group contained."""
        place = path_of(store)
        mode: Literal["a", "w"] = "w" if (place / group).exists() else "a"
        self.as_dataset().to_zarr(place, group=group, mode=mode, consolidated=False)

    def as_dataset(self) -> xr.Dataset:
        """Return the scores and their metadata as the xarray data set that `save` writes."""
        attrs = {
            "retroscope_name": self.name,
            "retroscope_recipe": json.dumps(self.recipe, sort_keys=True),
            "retroscope_warnings": json.dumps(list(self.warnings)),
        }
        plain = self.values.drop_attrs().rename("values").astype(np.float64)
        dataset = plain.assign_coords(_text_coords(plain)).to_dataset().assign(self._pairs())
        return dataset.assign_attrs(attrs)

    def _pairs(self) -> dict[str, xr.Variable]:
        """Return `passages` as two variables with a row for each pair: index of the query, id of the passage."""
        pairs = [(row, p) for row, i in enumerate(self.query_ids) for p in self.passages.get(i, ())]
        if not pairs:
            return {}
        rows, ids = zip(*pairs, strict=True)
        return {
            "shared_query": xr.Variable("pair", np.array(rows, dtype=np.int64)),
            "shared_passage": xr.Variable("pair", np.array(ids, dtype=np.dtypes.StringDType())),
        }


def _text_coords(array: xr.DataArray) -> dict[Hashable, xr.Variable]:
    """Return the string coordinates as variable-length strings, the only string type in the zarr specification."""
    return _coords_as(array, np.dtypes.StringDType())


def _coords_as(array: xr.DataArray, dtype: Any) -> dict[Hashable, xr.Variable]:
    """Return the string coordinates of an array (also scalar ones), converted to the type `dtype`."""
    texts = {name: coord for name, coord in array.coords.items() if coord.dtype.kind in "OUT"}
    return {name: xr.Variable(coord.dims, coord.values.astype(dtype)) for name, coord in texts.items()}


def load_scores(store: PathLike, group: str) -> Scores:
    """Read the scores that `Scores.save` wrote.

    Raises:
        AnalysisError: if the group does not exist, or is incomplete because writing was interrupted.
    """
    place = path_of(store)
    if not (place / group).exists():
        raise AnalysisError(
            f"this folder has no scores in the group {group!r}",
            where=str(place),
            fix="run the analysis that writes this group",
        )
    try:
        return scores_in(str(place), group)
    except (KeyError, ValueError, OSError) as damage:
        raise AnalysisError(
            f"the scores in the group {group!r} are incomplete: {damage}",
            where=str(place),
            fix="run the analysis that writes this group again",
        ) from damage


def scores_in(store: str | Store, group: str) -> Scores:
    """Read the scores in a group of a zarr store. The caller has verified the checksums of the store."""
    loaded = dataset_in(store, group)
    return Scores(
        name=loaded.attrs["retroscope_name"],
        values=loaded["values"].assign_coords(_coords_as(loaded["values"], object)),
        recipe=json.loads(loaded.attrs["retroscope_recipe"]),
        warnings=tuple(json.loads(loaded.attrs["retroscope_warnings"])),
        passages=_passages_of(loaded),
    )


def dataset_in(store: str | Store, group: str) -> xr.Dataset:
    """Read a group of a zarr store into memory."""
    with xr.open_zarr(store, group=group, consolidated=False) as data:
        loaded: xr.Dataset = data.load()
    return loaded


def store_of(files: Mapping[str, bytes]) -> Store:
    """Return a read-only zarr store in memory with these files: path -> content."""
    return MemoryStore({path: cpu.Buffer.from_bytes(content) for path, content in files.items()}, read_only=True)


def files_of(groups: Mapping[str, xr.Dataset]) -> dict[str, bytes]:
    """Return the files of a zarr store that contains these groups: path -> content.

    The store is built in memory, because zarr would write each small file in a separate thread, which takes longer.
    """
    files: dict[str, Buffer] = {}
    for name, dataset in groups.items():
        dataset.to_zarr(MemoryStore(files), group=name, mode="a", consolidated=False)
    return {path: content.to_bytes() for path, content in files.items()}


def _passages_of(loaded: xr.Dataset) -> dict[str, tuple[str, ...]]:
    """Map each query id to the ids of its passages, from the variables that `Scores._pairs` made."""
    if "shared_query" not in loaded:
        return {}
    ids = [str(i) for i in loaded[QUERY].values]
    passages_of: dict[str, list[str]] = {}
    for row, passage in zip(loaded["shared_query"].values.tolist(), loaded["shared_passage"].values, strict=True):
        passages_of.setdefault(ids[row], []).append(str(passage))
    return {i: tuple(passages) for i, passages in passages_of.items()}


def align(first: Scores, second: Scores) -> tuple[Scores, Scores]:
    """Return `first` unchanged, and `second` with its queries, labels and dimensions in the order of `first`.

    Raises:
        AnalysisError: if one of the two has queries, labels or dimensions that the other lacks. A comparison of
            different queries would not be paired.
    """
    indexes = [scores.values.indexes for scores in (first, second)]
    if first.values.dims == second.values.dims and all(
        indexes[0][dim].equals(indexes[1][dim]) for dim in first.values.dims
    ):
        return first, second
    for complete, lacking in ((first, second), (second, first)):
        for dim in complete.values.dims:
            if dim not in lacking.values.dims:
                raise AnalysisError(
                    f"the scores {lacking.name!r} have no dimension {dim!r}, but the scores {complete.name!r} do",
                    fix="compare scores of the same analysis",
                )
    for dim in first.values.dims:
        mine, theirs = first.values.indexes[dim], second.values.indexes[dim]
        unshared = [str(x) for x in mine.symmetric_difference(theirs)]
        if unshared:
            raise AnalysisError(
                f"these labels of {dim!r} occur in only one of the two sets of scores:{listed(unshared)}",
                where=f"{first.name} and {second.name}",
                fix="measure both models on the same collection with the same settings",
            )
    same = {dim: first.values.indexes[dim] for dim in first.values.dims}
    return first, replace(second, values=second.values.reindex(same).transpose(*first.values.dims))


def _labelled_means(cells: "pd.Series[Any]") -> list[tuple[str, str]]:
    """Return two texts for each mean: its labels, e.g. "layer 6, probe cosine", and its value."""
    names = list(cells.index.names)
    many = len(names) > 1
    return [
        (", ".join(f"{name} {label}" for name, label in zip(names, at if many else (at,), strict=True)), f"{mean:.3f}")
        for at, mean in cells.items()
    ]
