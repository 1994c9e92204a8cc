"""Tables of the ablation: top neurons against controls at every fraction, and the areas between the curves."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int

from retroscope.analyses.neurons.result import LARGEST, RANDOM, REFERENCE, TOP
from retroscope.attribution.top_neurons.selection import NeuronSet, Ranking
from retroscope.scores import QUERY, Scores
from retroscope.statistics.area import mean_area_between
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.resampling.clusters import clusters_by_row
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.resampling.intervals import IntervalSettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.testing.correction import correct
from retroscope.statistics.testing.prediction import prediction_p

GROUP = "group"  # coordinate of queries where there are several: 0 for those of the first look
SPENT = (0.1, 0.9)  # of alpha, by the first look and by the second


def curve_table(
    values: xr.DataArray,
    intact: xr.DataArray,
    settings: IntervalSettings,
    passages: Mapping[str, tuple[str, ...]] | None = None,
) -> pd.DataFrame:
    """Return by fraction and measure how much more fixing the top neurons harms retrieval than fixing control neurons.

    There is a row for each fraction of the neurons and measure. The columns of means over queries are `intact`, one for
    each label of `how` (`random`: mean of the draws), `random_lowest` and `random_highest`, over `n` queries and
    `draws` draws. `harm` is random - top, and `harm_over_largest` is largest - top. Both are paired by query, with the
    ends of their interval (`_low`, `_high`) over queries, for these draws only. `below_every_draw` is true if top is
    lower than each draw. `p` is (1 + draws not above top) / (1 + draws), the exact probability of such a low rank if
    the ranking within layers carried no information (Phipson and Smyth 2010).

    There are three uncorrected tests. `p_queries` (top against the mean draw) and `p_largest` (top against the largest)
    are paired by query and two-sided. `p_draws` tests whether the top could be one more random set (see
    `prediction_p`). A claim needs all of its tests, so its p is the largest of theirs (intersection-union; Berger
    1982). This p is 1 if a harm is not above 0, or if a draw is as low as top. With two looks (see `looks`) the p of a
    claim is the smaller of both looks' p, each divided by its share of alpha. The p of the claims are Holm-corrected
    over the fractions of a measure: `p_over_random` (`p_queries` and `p_draws`) and `p_confirmed` (all three).
    `over_random` and `confirmed` say whether they are at most 1 - level.

    Args:
        values: scores, NaN where a set was not measured. The coordinate `group` says which queries belong to the first
            look.
        passages: query id -> its relevant passages. Queries that share some are not independent.
    """
    table = claim_rows(values, settings, passages)
    means = [_intact(values, intact, row["fraction"], row["measure"]) for _, row in table.iterrows()]
    table.insert(2, "intact", means)
    by_fraction = table.sort_values("fraction", kind="stable")
    return by_fraction.reset_index(drop=True)


def claim_rows(
    values: xr.DataArray, settings: IntervalSettings, passages: Mapping[str, tuple[str, ...]] | None = None
) -> pd.DataFrame:
    """Return how much more fixing the top neurons harms retrieval than fixing control neurons, with corrected p-values.

    Rows and columns are those of `look_rows`, and two more columns, `over_random` and `confirmed`. The p-values of
    claims are corrected over both looks at the data and all fractions of the neurons.
    """
    table = look_rows(values, settings, passages)
    first = look_rows(first_group(values), settings, passages) if query_groups(values).any() else None
    for claim, p in (("over_random", "p_over_random"), ("confirmed", "p_confirmed")):
        if first is not None:
            table[p] = _over_looks(first, table, p)
        table[p] = table.groupby("measure", sort=False)[p].transform(lambda some: _holm(some.to_numpy()))
        table[claim] = table[p] <= round(1 - settings.level, 12)
    return table


def _over_looks(first: pd.DataFrame, table: pd.DataFrame, p: str) -> "pd.Series[float]":
    """Return each row's p over both looks: the p of each look is divided by its share of alpha, and the smaller counts.

    A row without a second look has the p of its first look, divided in the same way.
    """
    second = (table[p] / SPENT[1]).where(table["n"] > first["n"], 1.0)
    return np.minimum(first[p] / SPENT[0], second).clip(upper=1.0)


def look_rows(
    values: xr.DataArray, settings: IntervalSettings, passages: Mapping[str, tuple[str, ...]] | None = None
) -> pd.DataFrame:
    """Return how much more fixing the top neurons harms retrieval than fixing control neurons, with uncorrected tests.

    There is a row for each fraction and measure, over the queries of one look at the data. The columns are those of
    `curve_table`, except `intact`, `over_random` and `confirmed`.
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
            rows.append({**at, **_cell(values.sel(at), *tests)})
    return pd.DataFrame(rows)


def reported_fraction(rows: pd.DataFrame) -> float:
    """Return the fraction of fixed neurons for which the report gives numbers.

    It is the smallest confirmed fraction. Without one, it is the smallest fraction at which fixing the top neurons
    costs significantly more than fixing random neurons. Without such a fraction, it is the one nearest to 1 %.

    Args:
        rows: the rows of one measure (see `curve_table`).
    """
    for claim in ("confirmed", "over_random"):
        claimed = rows.loc[rows[claim].astype(bool), "fraction"]
        if len(claimed):
            return float(claimed.min())
    return nearest_to_reference(rows["fraction"].tolist())


def nearest_to_reference(fractions: Sequence[float]) -> float:
    """Return the fraction nearest to 1 %, for which the report gives numbers if no test is significant."""
    return min(fractions, key=lambda fraction: abs(math.log(fraction / REFERENCE)))


def first_group(values: xr.DataArray) -> xr.DataArray:
    """Return the scores of the group of queries that was measured first."""
    return values.isel({QUERY: query_groups(values) == 0})


def query_groups(values: xr.DataArray) -> Int[np.ndarray, "query"]:
    """Return the index of every query's group, or 0 for all queries if the scores have no groups."""
    return values[GROUP].values if GROUP in values.coords else np.zeros(values.sizes[QUERY], dtype=int)


def _intact(values: xr.DataArray, intact: xr.DataArray, fraction: float, measure: str) -> float:
    """Return the intact model's mean over the queries that were measured at a fraction."""
    top = values.sel(how=TOP, fraction=fraction, measure=measure).isel(draw=0)
    return float(intact.sel(measure=measure).where(top.notnull()).mean())


def _paired(
    other: xr.DataArray, top: xr.DataArray, settings: IntervalSettings, passages: Mapping[str, tuple[str, ...]]
) -> Difference:
    """Return the harm, paired by query: the score with another set fixed minus that with the top neurons fixed."""
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
    """Return the means, harms and p-values of one fraction and measure, from scores (query, kind of neurons, draw)."""
    means = {str(how): float(cell.sel(how=how).isel(draw=0).mean()) for how in cell["how"].values if how != RANDOM}
    draws = cell.sel(how=RANDOM).dropna("draw", how="all").mean(QUERY).values
    not_above = int((draws <= means[TOP]).sum())
    p_draws = prediction_p(means[TOP], draws)
    p_over_random = _all_of([_harmful(by_query), p_draws, 1.0 if not_above else 0.0])
    return {
        "n": int(by_query["n"]),
        "draws": len(draws),
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
    """Return the p of a paired test if fixing the top neurons gives lower scores, else 1."""
    return float(test["p"]) if float(test["effect"]) > 0 else 1.0


def _all_of(p: Sequence[float]) -> float:
    """Return the p of the claim that all null hypotheses are false, or 1 if a test is missing."""
    return 1.0 if any(math.isnan(some) for some in p) else max(p)


def area_table(
    values: xr.DataArray, settings: IntervalSettings, passages: Mapping[str, tuple[str, ...]] | None = None
) -> pd.DataFrame:
    """Return the area between the mean ablation curve of the random sets and the curve of each other kind of neurons.

    Only queries that were measured at every fraction count. Columns: `how`, `measure`, `area` (in units of the measure:
    the mean distance over log10 of the fraction), `area_low`, `area_high` (interval over queries, for these random sets
    only), `n` queries.

    Args:
        passages: query id -> its relevant passages. Queries that share some are not independent.
    """
    fractions = values["fraction"].values
    complete = values.sel(how=TOP).isel(draw=0).notnull().all(("fraction", "measure"))
    ordered = values.isel({QUERY: complete.values}).transpose("query", "how", "draw", "measure", "fraction")
    clusters = clusters_by_row(Scores("ablation", ordered, passages=passages or {}))
    random = ordered.sel(how="random").mean("draw").values
    rows = []
    for how in [how for how in map(str, values["how"].values) if how != RANDOM]:
        other = ordered.sel(how=how).isel(draw=0).values
        area_mean = mean_area_between(random, other, fractions, settings, clusters)
        for i, measure in enumerate(values["measure"].values.tolist()):
            area = {
                "area": area_mean.mean[i],
                "area_low": area_mean.low[i],
                "area_high": area_mean.high[i],
                "n": area_mean.n[i],
            }
            rows.append({"how": how, "measure": measure, **area})
    return pd.DataFrame(rows)


def shared_by_chance(top: NeuronSet, ranking: Ranking) -> float:
    """Return the share of the top neurons that a random set with as many neurons in every layer contains on average."""
    sizes = dict(zip(ranking.sites, map(len, ranking.values), strict=True))
    counts = {(part, layer): len(some) for part, layers in top.neurons.items() for layer, some in layers.items()}
    return sum(n * n / sizes[site] for site, n in counts.items()) / len(top)
