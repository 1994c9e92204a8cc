"""Ablation curves in numbers: every fraction against its controls, and the areas between the curves."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from retroscope.analyses.neurons.result import LARGEST, RANDOM, TOP
from retroscope.attribution.selection import NeuronSet, Ranking
from retroscope.scores import Scores
from retroscope.statistics.area import mean_area_between
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.resampling.clusters import clusters_by_row
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.resampling.intervals import IntervalSettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.testing.correction import correct
from retroscope.statistics.testing.prediction import prediction_p


def curve_table(
    values: xr.DataArray,
    intact: xr.DataArray,
    settings: IntervalSettings,
    passages: Mapping[str, tuple[str, ...]] | None = None,
) -> pd.DataFrame:
    """Return a row for each fraction and measure, means over queries.

    Columns: `fraction`, `measure`, `n` queries, `intact`, one for each label of `how` (`random`: mean of the draws),
    `random_lowest`, `random_highest`; `harm` (random - top) and `harm_over_largest` (largest - top), each with `_low`
    and `_high`, paired by query, the draws taken as they are; `below_every_draw`: top is lower than each draw;
    `p`: (1 + draws not above top) / (1 + draws), the exact probability of a rank as low as this if the ranking within
    layers said nothing (Phipson and Smyth 2010).

    Three tests, none corrected: `p_queries` (top against the mean draw) and `p_largest` (top against the largest),
    paired by query and two-sided; `p_draws`: of a top drawn like the random sets (see `prediction_p`). A claim needs
    all of its tests, so that its p is the largest of theirs (intersection-union; Berger 1982), 1 where a mean points
    the other way or a draw lies as low; then Holm over the fractions of a measure: `p_over_random` (the first and
    the last), `p_confirmed` (all three). `over_random` and `confirmed`: those are at most 1 - level.

    Args:
        passages: query id -> its relevant passages; queries that share some are not independent.
    """
    random = values.sel(how=RANDOM, drop=True)
    top, largest = (values.sel(how=how, drop=True).isel(draw=0, drop=True) for how in (TOP, LARGEST))
    over_random = _paired(random.mean("draw"), top, settings, passages or {})
    over_largest = _paired(largest, top, settings, passages or {})
    rows = []
    for measure in values["measure"].values.tolist():
        for fraction in values["fraction"].values.tolist():
            at = {"fraction": fraction, "measure": measure}
            tests = (over_random.table.sel(at), over_largest.table.sel(at))
            rows.append({**at, "intact": float(intact.sel(measure=measure).mean()), **_cell(values.sel(at), *tests)})
    table = pd.DataFrame(rows)
    for claim, p in (("over_random", "p_over_random"), ("confirmed", "p_confirmed")):
        table[p] = table.groupby("measure", sort=False)[p].transform(lambda some: _holm(some.to_numpy()))
        table[claim] = table[p] <= round(1 - settings.level, 12)
    by_fraction = table.sort_values("fraction", kind="stable")
    return by_fraction.reset_index(drop=True)


def _paired(
    other: xr.DataArray, top: xr.DataArray, settings: IntervalSettings, passages: Mapping[str, tuple[str, ...]]
) -> Difference:
    """Pair the scores under the other set with those under the top set: their difference is the harm."""
    level = ComparisonSettings(
        level=settings.level, resamples=settings.resamples, seed=settings.seed, correction="none"
    )
    remaining, left = (
        Scores("ablation", side.transpose("query", "fraction", "measure"), passages=passages) for side in (top, other)
    )
    return compare_scores(remaining, left, level)


def _holm(p: Float[np.ndarray, "fraction"]) -> Float[np.ndarray, "fraction"]:
    return correct("holm", p, np.zeros((0, len(p))), SignFlips())


def _cell(cell: xr.DataArray, by_query: xr.Dataset, over_largest: xr.Dataset) -> dict[str, float | bool]:
    """Return one cell as scores (query, how, draw)."""
    means = {str(how): float(cell.sel(how=how).isel(draw=0).mean()) for how in cell["how"].values if how != RANDOM}
    draws = cell.sel(how=RANDOM).transpose("query", "draw").values.mean(axis=0)
    not_above = int((draws <= means[TOP]).sum())
    p_draws = prediction_p(means[TOP], draws)
    p_over_random = _all_of([_harmful(by_query), p_draws, 1.0 if not_above else 0.0])
    return {
        "n": int(by_query["n"]),
        **means,
        RANDOM: float(draws.mean()),
        "random_lowest": float(draws.min()),
        "random_highest": float(draws.max()),
        "harm": float(by_query["effect"]),
        "harm_low": float(by_query["ci_low"]),
        "harm_high": float(by_query["ci_high"]),
        "harm_over_largest": float(over_largest["effect"]),
        "harm_over_largest_low": float(over_largest["ci_low"]),
        "harm_over_largest_high": float(over_largest["ci_high"]),
        "below_every_draw": not_above == 0,
        "p": (1 + not_above) / (1 + len(draws)),
        "p_queries": float(by_query["p"]),
        "p_draws": p_draws,
        "p_largest": float(over_largest["p"]),
        "p_over_random": p_over_random,
        "p_confirmed": _all_of([p_over_random, _harmful(over_largest)]),
    }


def _harmful(test: xr.Dataset) -> float:
    """Return the p of a paired test if the top set scores lower, else 1."""
    return float(test["p"]) if float(test["effect"]) > 0 else 1.0


def _all_of(p: Sequence[float]) -> float:
    """Return the p of the claim that every null hypothesis is false; 1 if a test could not be made."""
    return 1.0 if any(math.isnan(some) for some in p) else max(p)


def area_table(
    values: xr.DataArray, settings: IntervalSettings, passages: Mapping[str, tuple[str, ...]] | None = None
) -> pd.DataFrame:
    """Return by how much the curves of the chosen sets lie below the mean of the random ones.

    Columns: `how`, `measure`, `area` (in units of the measure: the mean distance over log10 of the fraction),
    `area_low`, `area_high` (interval over queries, the draws taken as they are), `n` queries.

    Args:
        passages: query id -> its relevant passages; queries that share some are not independent.
    """
    fractions = values["fraction"].values
    ordered = values.transpose("query", "how", "draw", "measure", "fraction")
    clusters = clusters_by_row(Scores("ablation", ordered, passages=passages or {}))
    random = ordered.sel(how="random").mean("draw").values
    rows = []
    for how in [how for how in map(str, values["how"].values) if how != RANDOM]:
        other = ordered.sel(how=how).isel(draw=0).values
        found = mean_area_between(random, other, fractions, settings, clusters)
        for i, measure in enumerate(values["measure"].values.tolist()):
            area = {"area": found.mean[i], "area_low": found.low[i], "area_high": found.high[i], "n": found.n[i]}
            rows.append({"how": how, "measure": measure, **area})
    return pd.DataFrame(rows)


def shared_by_chance(top: NeuronSet, ranking: Ranking) -> float:
    """Return the share of the top expected in a random set of the same histogram; 1 where whole layers are top."""
    sizes = dict(zip(ranking.sites, map(len, ranking.values), strict=True))
    counts = {(part, layer): len(some) for part, layers in top.neurons.items() for layer, some in layers.items()}
    return sum(n * n / sizes[site] for site, n in counts.items()) / len(top)
