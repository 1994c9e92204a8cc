"""Infer from the scores under erasure which layers retrieval uses: tests over queries and over random subspaces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.erasure.result import (
    ERASED,
    INTACT,
    READABLE,
    RETRIEVED,
    TABLE_COLUMNS,
    UNCLEAR,
    UNUSED,
    USED,
    ErasureResult,
)
from retroscope.analyses.erasure.settings import CONTROLS, RANK, VARIANCE
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Reading
from retroscope.scores import Scores
from retroscope.statistics import Difference
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.resampling.clusters import clusters_of
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.resampling.intervals import bootstrap_mean
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.testing.correction import correct
from retroscope.statistics.testing.prediction import prediction_p
from retroscope.typesetting.frames import rows
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL

SHUFFLED = "shuffled"
AT = ["layer", "rank"]


def infer(measurements: Sequence[Measurement], reading: Reading) -> ErasureResult | None:
    """Return what is readable and what is used at every layer and rank, of every side."""
    if not measurements:
        return None
    one, statistics = measurements[0], reading.subject.paired_statistics
    sides = [side for side in (BEFORE, AFTER, MODEL) if f"{side}/{RETRIEVED}" in one.scores]
    if not sides:
        return None
    measured = {side: _Side.of(one, side, statistics) for side in sides}
    chance = 1 / int(one.facts["choices"])
    table = pd.concat([side.table(chance) for side in measured.values()], ignore_index=True)
    pair = BEFORE in measured and AFTER in measured
    return ErasureResult(
        one.collection,
        str(one.facts["measure"]),
        chance,
        round(1 - statistics.level, 12),
        table[list(TABLE_COLUMNS)],
        {name: side.against(RANK, ERASED) for name, side in measured.items()},
        compare_scores(measured[BEFORE].use(), measured[AFTER].use(), statistics) if pair else None,
        tuple(one.facts["notes"]),
    )


@dataclass(frozen=True, eq=False)
class _Side:
    """The scores of one model."""

    name: str
    intact: Scores
    retrieved: Scores
    readable: Scores
    removed: pd.DataFrame
    statistics: ComparisonSettings

    @classmethod
    def of(cls, one: Measurement, side: str, statistics: ComparisonSettings) -> "_Side":
        removed = one.frames["removed"]
        intact, retrieved, readable = (one.scores[f"{side}/{name}"] for name in (INTACT, RETRIEVED, READABLE))
        return cls(side, intact, retrieved, readable, removed[removed["side"] == side], statistics)

    def draws(self, kind: str) -> xr.DataArray:
        """Return the scores under the random subspaces of a kind, (query, layer, rank, variant)."""
        values = self.retrieved.values
        return values.sel(variant=[name for name in values["variant"].values if str(name).startswith(f"{kind}:")])

    def erased(self, variant: str) -> xr.DataArray:
        """Return the scores without one subspace, (query, layer, rank)."""
        return self.retrieved.values.sel(variant=variant, drop=True)

    def against(self, kind: str, variant: str) -> Difference:
        """Compare an erasure with the mean of the random subspaces of a kind, paired by query."""
        settings = replace(self.statistics, family_per=(), correction="holm", margin=None)
        mean = replace(self.retrieved, values=self.draws(kind).mean("variant"))
        return compare_scores(mean, replace(self.retrieved, values=self.erased(variant)), settings)

    def use(self) -> Scores:
        """Return the loss of every query beyond the random subspaces of equal rank."""
        loss = self.draws(RANK).mean("variant") - self.erased(ERASED)
        return replace(self.retrieved, name="use", values=loss)

    def table(self, chance: float) -> pd.DataFrame:
        """Return a row a layer and rank, columns `TABLE_COLUMNS`."""
        found, shuffled = self._claims(ERASED), self._claims(SHUFFLED)
        table = found.merge(self._accuracies(), on=AT).merge(self._variance(), "left", on=AT)
        table = table.assign(
            side=self.name,
            intact=float(self.intact.values.mean()),
            shuffled_beyond=shuffled["beyond"],
            p_shuffled=shuffled["p_rank"],
        )
        alpha = 1 - self.statistics.level
        use = np.select([table["p_corrected"] < alpha, table["p_rank"] < alpha], [USED, UNCLEAR], UNUSED)
        return table.assign(is_readable=table["readable_low"] > chance, use=use)

    def _claims(self, variant: str) -> pd.DataFrame:
        """Return the harm of an erasure beyond random: a claim needs every test, so its p is the largest of theirs."""
        harms = {kind: rows(self.against(kind, variant)) for kind in CONTROLS}
        first = harms[RANK]
        records = [self._claim(row, variant, harms[VARIANCE].iloc[place]) for place, row in first.iterrows()]
        return pd.DataFrame(records).assign(p_rank=lambda t: _holm(t["p_rank"]), p_corrected=lambda t: _holm(t["p"]))

    def _claim(self, row: "pd.Series[Any]", variant: str, variance: "pd.Series[Any]") -> Mapping[str, Any]:
        at = {name: row[name] for name in AT}
        top = float(self.erased(variant).sel(at).mean())
        p_draws = {kind: prediction_p(top, self.draws(kind).sel(at).mean("query").values) for kind in CONTROLS}
        p_rank = max(row["p"], p_draws[RANK]) if row["effect"] < 0 else 1.0
        p_variance = max(variance["p"], p_draws[VARIANCE]) if variance["effect"] < 0 else 1.0
        return {
            **at, "erased": top, "random": row["before"], "variance": variance["before"], "beyond": row["effect"],
            "ci_low": row["ci_low"], "ci_high": row["ci_high"], "p_queries": row["p"], "p_draws": p_draws[RANK],
            "p_variance": p_variance, "p_rank": p_rank, "p": max(p_rank, p_variance), "n": row["n"],
        }  # fmt: skip

    def _accuracies(self) -> pd.DataFrame:
        """Return the accuracy of the probe of every layer, intact with its interval, erased, and random."""
        values = self.readable.values
        cells = values.stack(cell=AT)
        intact = bootstrap_mean(
            cells.sel(state=INTACT).transpose("query", "cell").values,
            self.statistics.intervals,
            clusters_of(self.readable),
        )
        means = cells.mean("query")
        return pd.DataFrame(
            {
                **{name: cells[name].values for name in AT},
                "readable": intact.mean,
                "readable_low": intact.low,
                "readable_high": intact.high,
                "readable_erased": means.sel(state=ERASED).values,
                "readable_random": means.sel(state=RANK).values,
            }
        )

    def _variance(self) -> pd.DataFrame:
        """Return the shares of the variance that the concept, and random subspaces of equal rank, remove."""
        kinds = self.removed.assign(kind=self.removed["variant"].str.partition(":")[0])
        wide = kinds.pivot_table("removed", AT, "kind").reindex(columns=[ERASED, RANK]).reset_index()
        return wide.rename(columns={ERASED: "removed", RANK: "removed_random"})


def _holm(p: "pd.Series[float]") -> "pd.Series[float]":
    values = p.to_numpy(dtype=float)
    return pd.Series(correct("holm", values, np.zeros((0, len(values))), SignFlips()), index=p.index)
