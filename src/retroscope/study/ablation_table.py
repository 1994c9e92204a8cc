"""What ablation curves say in numbers: every fraction against its random draws, and the area between the curves."""

import math

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from scipy.stats import t as student

from retroscope.attribution.selection import NeuronSet, Ranking
from retroscope.statistics.area import mean_area_between
from retroscope.statistics.clusters import texts_of
from retroscope.statistics.intervals import IntervalSettings, bootstrap_mean

AGAINST = ("top", "bottom")


def curve_table(values: xr.DataArray, intact: xr.DataArray, settings: IntervalSettings) -> pd.DataFrame:
    """A row for each fraction and measure, means over queries.

    Columns: `fraction`, `measure`, `intact`, `top`, `bottom`, `random` (mean of the draws), `random_lowest`,
    `random_highest`; `harm` (random - top) with `harm_low` and `harm_high`, paired by query, the draws taken as they
    are; `below_every_draw`: top is lower than each draw; `p`: (1 + draws not above top) / (1 + draws), the exact
    probability of a rank as low as this if the ranking within layers said nothing (Phipson and Smyth 2010);
    `p_draws`: of a top drawn like the random sets (see `prediction_p`), where p cannot fall below 1 / (1 + draws).
    """
    rows = []
    for fraction in values["fraction"].values.tolist():
        for measure in values["measure"].values.tolist():
            cell = values.sel(fraction=fraction, measure=measure)
            row = {"fraction": fraction, "measure": measure, "intact": float(intact.sel(measure=measure).mean())}
            rows.append({**row, **_cell(cell, settings)})
    return pd.DataFrame(rows)


def _cell(cell: xr.DataArray, settings: IntervalSettings) -> dict[str, float | bool]:
    """`cell`: (query, how, draw)."""
    top, bottom = (cell.sel(how=how).isel(draw=0).values for how in AGAINST)
    random = cell.sel(how="random").values
    draws = random.mean(axis=0)
    harm = bootstrap_mean(random.mean(axis=1) - top, settings, texts_of(cell))
    not_above = int((draws <= top.mean()).sum())
    return {
        "top": float(top.mean()),
        "bottom": float(bottom.mean()),
        "random": float(draws.mean()),
        "random_lowest": float(draws.min()),
        "random_highest": float(draws.max()),
        "harm": float(harm.mean),
        "harm_low": float(harm.low),
        "harm_high": float(harm.high),
        "below_every_draw": not_above == 0,
        "p": (1 + not_above) / (1 + len(draws)),
        "p_draws": prediction_p(float(top.mean()), draws),
    }


def prediction_p(top: float, draws: Float[np.ndarray, "draw"]) -> float:
    """One-sided p of "top is one more draw": Student's prediction of a further value of a normal sample.

    t = (mean(draws) - top) / (sd(draws) sqrt(1 + 1 / m)) with m - 1 degrees of freedom (Geisser,
    Predictive Inference, 1993). The queries are taken as they are: it is about which neurons were drawn. Draws that are
    all equal are not normal; there it is the exact rank probability, 1 / (1 + m) at the least. NaN for a single draw,
    which tells no spread.
    """
    m = len(draws)
    if m < 2:
        return math.nan
    if np.ptp(draws) == 0:
        return float((1 + (draws <= top).sum()) / (1 + m))
    t = (draws.mean() - top) / (draws.std(ddof=1) * math.sqrt(1 + 1 / m))
    return float(student.sf(t, m - 1))


def area_table(values: xr.DataArray, settings: IntervalSettings) -> pd.DataFrame:
    """By how much the curves of "top" and "bottom" lie below the mean of the random ones.

    Columns: `how`, `measure`, `area` (in units of the measure: the mean distance over log10 of the fraction),
    `area_low`, `area_high` (interval over queries, the draws taken as they are), `n` queries.
    """
    fractions = values["fraction"].values
    ordered = values.transpose("query", "how", "draw", "measure", "fraction")
    random = ordered.sel(how="random").mean("draw").values
    rows = []
    for how in AGAINST:
        other = ordered.sel(how=how).isel(draw=0).values
        found = mean_area_between(random, other, fractions, settings, texts_of(values))
        for i, measure in enumerate(values["measure"].values.tolist()):
            area = {"area": found.mean[i], "area_low": found.low[i], "area_high": found.high[i], "n": found.n[i]}
            rows.append({"how": how, "measure": measure, **area})
    return pd.DataFrame(rows)


def shared_by_chance(top: NeuronSet, ranking: Ranking) -> float:
    """Expected share of the top neurons in a random set of the same histogram; 1 where whole layers are top."""
    sizes = dict(zip(ranking.sites, map(len, ranking.values), strict=True))
    counts = {(part, layer): len(some) for part, layers in top.neurons.items() for layer, some in layers.items()}
    return sum(n * n / sizes[site] for site, n in counts.items()) / len(top)
