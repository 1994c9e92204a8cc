"""Claims of a training ablation in which nothing matters: some part is said to change the headline measure.

    python benchmarks/audit/grid_claims.py [--grids 300]

Null: score = .4 + query + training + noise, whatever was re-initialised, with 100 queries per test. A grid states one
effect for each part and test. Before: an effect was called a change if its uncorrected interval excluded 0. After:
as the report states it. The table gives the share of grids with at least one false change, with its exact interval
(Clopper and Pearson 1934).
"""

import argparse

import numpy as np
import xarray as xr
from scipy.stats import binomtest

from retroscope.collection.collection import make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.inputs.settings import DataSettings
from retroscope.scores import TEXT, Scores
from retroscope.statistics.resampling.intervals import IntervalSettings
from retroscope.study.training.grid import Grid
from retroscope.study.training.grid_report import GridFindings
from retroscope.study.training.grid_settings import AXES, INTACT, GridSettings
from retroscope.study.training.grid_summary import grid_findings
from retroscope.typesetting.statements import State

PARTS = (INTACT, "top:1", "embeddings", "ffn", "attention")
QUERIES, LABELS, MEASURE = 100, 1000, "RR@10"
OF_QUERY, OF_TRAINING, OF_NOISE = 0.2, 0.03, 0.2  # standard deviations


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grids", type=int, default=300)
    grids = parser.parse_args().grids
    print(f"{grids} grids each, seed 0\ngrids with a false change | before | after")
    for n_parts, n_tests, seeds in ((1, 1, 3), (4, 1, 3), (4, 2, 3), (1, 1, 1)):
        claims = [claimed(one) for one in null_grids(grids, no_training(PARTS[: 1 + n_parts], n_tests, seeds))]
        by_interval, reported = zip(*claims, strict=True)
        what = f"effects {n_parts * n_tests} (parts {n_parts}, tests {n_tests}, seeds {seeds})"
        print(f"{what} | {share(by_interval)} | {share(reported)}")


def null_grids(grids: int, grid: Grid) -> list[GridFindings]:
    """Return the findings of grids in which no part matters."""
    rng = np.random.default_rng(0)
    return [grid_findings(grid, {test: null_scores(rng, grid) for test in grid.tests}) for _ in range(grids)]


def no_training(parts: tuple[str, ...], n_tests: int, seeds: int) -> Grid:
    """Return a grid with these levels, of which nothing is trained."""
    passage, query = Passage("p", "a passage"), Query("q", "a query")
    collection = make_collection("made", [passage], [query], [Judgment("q", "p")])
    settings = GridSettings(
        backbones={"made": "made"},
        tests=(DataSettings(source="made"),),
        reinitialise=parts,
        labels=(LABELS,),
        seeds=tuple(range(seeds)),
        measures=(MEASURE,),
        intervals=IntervalSettings(resamples=100),
    )
    levels = (("made",), parts, settings.strategies, settings.labels, settings.seeds)
    tests = {f"test {k}": collection for k in range(n_tests)}
    return Grid(settings, collection, tests, dict(zip(AXES, levels, strict=True)))


def null_scores(rng: np.random.Generator, grid: Grid) -> Scores:
    """Return scores of one test that depend on the query, the single training and chance alone."""
    shape = [len(levels) for levels in grid.axes.values()]
    of_query = OF_QUERY * rng.standard_normal((QUERIES, *(1 for _ in shape)))
    of_training = OF_TRAINING * rng.standard_normal((1, *shape))
    values = 0.4 + of_query + of_training + OF_NOISE * rng.standard_normal((QUERIES, *shape))
    names = [f"q{k}" for k in range(QUERIES)]
    coords = {"query": names, **{axis: list(levels) for axis, levels in grid.axes.items()}, "measure": [MEASURE]}
    array = xr.DataArray(values[..., None], coords, ("query", *AXES, "measure"))
    return Scores("null", array.assign_coords({TEXT: ("query", names)}), {})


def claimed(findings: GridFindings) -> tuple[bool, bool]:
    """Return whether some change is claimed: by the uncorrected interval, and by the report."""
    excludes = (findings.effects["ci_low"] > 0) | (findings.effects["ci_high"] < 0)
    reported = [one.state is State.SIGNIFICANT for one in findings.statements() if one.code == "effect"]
    assert len(reported) == len(excludes)
    return bool(excludes.any()), any(reported)


def share(claims: tuple[bool, ...]) -> str:
    """Return the share of grids, with its exact 95 % interval."""
    exact = binomtest(sum(claims), len(claims)).proportion_ci()
    return f"{np.mean(claims):.3f} [{exact.low:.3f}, {exact.high:.3f}]"


if __name__ == "__main__":
    main()
