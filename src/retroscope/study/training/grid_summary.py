"""Summarise a training ablation: means, paired effects, shares of variance, and worth in labels."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.errors import AnalysisError
from retroscope.files.documents import SCHEMA, clean, write_document
from retroscope.files.whole import refuse_other_report, remove_whole
from retroscope.inputs.provenance import command_line, software
from retroscope.inputs.settings_files import plain
from retroscope.scores import TEXT, Scores
from retroscope.statistics.resampling.clusters import Clusters, clusters_by_row, text_clusters
from retroscope.statistics.resampling.crossed import crossed_mean, crossed_p, of_texts
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.shares import variance_shares
from retroscope.statistics.testing.correction import correct
from retroscope.statistics.worth import worth
from retroscope.study.folder import GRID, REPORTED
from retroscope.study.training.cells import group_of
from retroscope.study.training.grid import Grid, steps_of
from retroscope.study.training.grid_report import TABLES, GridFindings, write_grid_page
from retroscope.study.training.grid_settings import AXES, INTACT, Cell

SETTINGS = AXES[:-1]  # all but the seed


def gather(grid: Grid, by_cell: Mapping[Cell, Mapping[str, Scores]]) -> dict[str, Scores]:
    """Map each test collection to the scores of all training runs (cells) in one array.

    The dimensions are query, the five factors, and measure.
    """
    axes = {axis: list(values) for axis, values in grid.axes.items()}
    gathered = {}
    for test in grid.tests:
        first = by_cell[grid.cells[0]][test]
        if first.recipe["collection"] != grid.tests[test].fingerprint:
            raise AnalysisError(
                f"the stored scores on the test collection {test!r} are of another collection",
                fix="run the training ablation in another output folder",
            )
        cell_values = first.values
        shape = [cell_values.sizes["query"], *map(len, axes.values()), cell_values.sizes["measure"]]
        coords = {"query": cell_values.indexes["query"], **axes, "measure": cell_values.indexes["measure"]}
        values = xr.DataArray(np.full(shape, np.nan), coords, ["query", *AXES, "measure"])
        values = values.assign_coords({TEXT: cell_values.coords[TEXT]})
        doubts: dict[str, None] = {}
        for cell in grid.cells:
            values.loc[asdict(cell)] = by_cell[cell][test].values
            doubts |= dict.fromkeys(f"{cell.name}: {warning}" for warning in by_cell[cell][test].warnings)
        recipe = {"collection": first.recipe["collection"]}
        gathered[test] = Scores(f"grid {test}", values, recipe, tuple(doubts), first.passages)
    return gathered


def grid_findings(grid: Grid, gathered: Mapping[str, Scores]) -> GridFindings:
    """Return the tables and caveats of the report of a training ablation, from the scores of all training runs."""
    frames = {
        name: pd.DataFrame([row for test, scores in gathered.items() for row in make(test, scores, grid)])
        for name, make in (("cells", _cells), ("effects", _effects), ("shares", _shares), ("worth", _worth))
    }
    frames["effects"] = _corrected(frames["effects"], grid.settings.measures[0])
    return GridFindings(
        title=f"Training ablation of {', '.join(map(str, grid.axes['backbone']))}",
        headline=grid.settings.measures[0],
        level=grid.settings.intervals.level,
        seeds=len(grid.axes["seed"]),
        caveats=_caveats(grid, gathered),
        command=command_line(),
        settings=plain(grid.settings),
        versions=software(),
        **frames,
    )


def _corrected(effects: pd.DataFrame, headline: str) -> pd.DataFrame:
    """Add `p_corrected` (Holm): all effects on the headline measure are one family, all other effects another."""
    if effects.empty:
        return effects
    corrected = effects.assign(p_corrected=np.nan)
    for _, part in effects.groupby(effects["measure"] == headline):
        p = part["p"].to_numpy()
        corrected.loc[part.index, "p_corrected"] = correct("holm", p, np.zeros((0, len(p))), SignFlips())
    return corrected


def grid_document(findings: GridFindings) -> dict[str, Any]:
    """Return the document of `ablate --json`: statements, tables, caveats and settings, as JSON-like values."""
    tables = {name: getattr(findings, name).to_dict(orient="records") for name in TABLES}
    tables["worth"] = [{name: _as_json(value) for name, value in row.items()} for row in tables["worth"]]
    document: dict[str, Any] = clean(
        {
            "schema": SCHEMA,
            "headline": findings.headline,
            "level": findings.level,
            "statements": [statement.document() for statement in findings.statements()],
            **tables,
            "caveats": list(findings.caveats),
            "settings": findings.settings,
            "versions": findings.versions,
        }
    )
    return document


def _as_json(value: Any) -> Any:
    """Replace infinity, which JSON cannot contain, by "above" or "below"."""
    if isinstance(value, float) and np.isinf(value):
        return "above" if value > 0 else "below"
    return value


def _caveats(grid: Grid, gathered: Mapping[str, Scores]) -> tuple[str, ...]:
    caveats = [note for test in grid.tests.values() for note in test.notes]
    caveats += [overlap.words() for overlap in grid.overlaps]
    caveats += [warning for scores in gathered.values() for warning in scores.warnings]
    n_seeds = len(grid.axes["seed"])
    if n_seeds == 1:
        caveats.append("one seed: intervals are over queries alone, and do not hold for another training run")
    if len(grid.axes["labels"]) > 1:
        steps = ", ".join(f"{n:,} labels {count:,}" for n, count in steps_of(grid).items())
        same = grid.settings.training.steps is not None
        caveats.append(
            "every cell trains for the same number of steps, so cells with few labels see each label more often"
            if same
            else f"cells with few labels also train for fewer steps ({steps}), so curves show both effects together"
        )
    return tuple(dict.fromkeys(caveats))


def _combinations(values: xr.DataArray, *axes: str) -> Iterator[dict[str, Any]]:
    """Yield every combination of the labels of these dimensions, as dimension -> label."""
    for levels in product(*(values.indexes[axis] for axis in axes)):
        yield dict(zip(axes, levels, strict=True))


def _crossed(values: xr.DataArray, level: float, bounds: tuple[float, float], clusters: Clusters) -> dict[str, float]:
    estimates = crossed_mean(values.transpose("seed", "query").values, level, bounds, clusters)
    return {
        "mean": float(estimates.mean),
        "ci_low": float(estimates.low),
        "ci_high": float(estimates.high),
        "n": int(estimates.n),
    }


def _cells(test: str, scores: Scores, grid: Grid) -> Iterator[dict[str, Any]]:
    """Yield a row for every combination of levels: the mean over seeds and queries, with its interval."""
    values, clusters = scores.values, clusters_by_row(scores)
    for at in _combinations(values, *SETTINGS, "measure"):
        cell_values = values.sel(at)
        is_share = float(cell_values.max()) <= 1  # a count, as NumRet, has no upper bound
        ends = (0.0, 1.0) if is_share else (-np.inf, np.inf)
        yield {"test": test, **at, **_crossed(cell_values, grid.settings.intervals.level, ends, clusters)}


def _effects(test: str, scores: Scores, grid: Grid) -> Iterator[dict[str, Any]]:
    """Yield a row for each re-initialised part: score minus that of the intact backbone, by query and seed."""
    values, clusters = scores.values, clusters_by_row(scores)
    if INTACT not in values.indexes["reinitialise"]:
        return
    for at in _combinations(values, *SETTINGS, "measure"):
        if at["reinitialise"] != INTACT:
            change = values.sel(at) - values.sel({**at, "reinitialise": INTACT})
            ends = (-1.0, 1.0) if float(abs(change).max()) <= 1 else (-np.inf, np.inf)
            estimate = _crossed(change, grid.settings.intervals.level, ends, clusters)
            p = crossed_p(change.transpose("seed", "query").values, clusters)
            yield {"test": test, **at, "change": estimate.pop("mean"), **estimate, "p": p}


def _shares(test: str, scores: Scores, grid: Grid) -> Iterator[dict[str, Any]]:
    """Yield the share of the variance of the cells' means that each factor explains; nothing if there is one cell."""
    values = scores.values
    for at in _combinations(values, "measure"):
        means = values.sel(at).mean("query")
        if means.size > 1:
            for effect, share in variance_shares(means.drop_vars("measure")).items():
                yield {"test": test, **at, "effect": effect, **asdict(share)}


def _worth(test: str, scores: Scores, grid: Grid) -> Iterator[dict[str, Any]]:
    """Yield rows with the worth in labels of each re-initialised part, measured by the headline measure."""
    values = scores.values
    labels = tuple(int(n) for n in values.indexes["labels"])
    if len(labels) < 2 or INTACT not in values.indexes["reinitialise"]:
        return
    curves = values.sel(measure=grid.settings.measures[0]).transpose(..., "seed", "labels", "query")
    for at in _combinations(values, "backbone", "strategy", "reinitialise"):
        if at["reinitialise"] == INTACT:
            continue
        both = (curves.sel({**at, "reinitialise": INTACT}).dropna("query"), curves.sel(at).dropna("query"))
        had, lacked = (of_texts(values.values, text_clusters(values)) for values in both)
        for row in worth(had, lacked, labels, grid.settings.intervals):
            yield {"test": test, **at, **asdict(row), "shown": row.shown}


def write_grid_report(findings: GridFindings, folder: Path) -> Path:
    """Write report.html, grid.json, tables/ and figures/ into `folder` and return the path of the page.

    Raises:
        SettingsError: if this would replace files that no training ablation wrote.
    """
    refuse_other_report(folder, GRID, REPORTED)
    write_document(folder / GRID, grid_document(findings))
    return write_grid_page(findings, folder)


def save_gathered(grid: Grid, gathered: Mapping[str, Scores], folder: Path) -> Path:
    """Write the scores of all training runs to `grid.zarr`, replacing it, and return its path.

    There is one group for each test collection.
    """
    store = folder / "grid.zarr"
    remove_whole(store)
    for test, scores in gathered.items():
        scores.save(store, group_of(grid.tests[test]))
    return store
