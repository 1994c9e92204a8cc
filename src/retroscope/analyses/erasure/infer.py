"""Test at which layers erasure harms retrieval more than erasing random subspaces, over queries and subspaces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from scipy import stats

from retroscope.analyses.erasure.draws import judged_with_draws, with_draws
from retroscope.analyses.erasure.result import (
    ERASED,
    INCONCLUSIVE,
    INTACT,
    READABLE,
    RETRIEVED,
    TABLE_COLUMNS,
    UNCLEAR,
    UNUSED,
    USED,
    ErasureResult,
)
from retroscope.analyses.erasure.settings import CONTROLS, RANK, SHUFFLED, VARIANCE
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Reading
from retroscope.scores import Scores, align
from retroscope.statistics import Difference
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.resampling.clusters import clusters_of
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.resampling.outcomes import outcome_mean
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.testing.correction import correct
from retroscope.statistics.testing.prediction import prediction_p
from retroscope.typesetting.frames import rows
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL

AT = ["layer", "rank"]
FLOOR = 0.5  # share of the intact score that random subspaces must leave, so that a larger loss can be measured


def infer(measurements: Sequence[Measurement], reading: Reading) -> ErasureResult | None:
    """Test the probe's accuracy and the loss of retrieval by erasure, for every model, layer and rank.

    The rank is the number of erased directions. Return None if nothing was measured.
    """
    if not measurements:
        return None
    measurement, statistics = measurements[0], reading.subject.paired_statistics
    sides = [side for side in (BEFORE, AFTER, MODEL) if f"{side}/{RETRIEVED}" in measurement.scores]
    if not sides:
        return None
    measured = {side: _Side.of(measurement, side, statistics) for side in sides}
    chance = 1 / int(measurement.facts["choices"])
    table = pd.concat([side.table(chance) for side in measured.values()], ignore_index=True)
    pair = BEFORE in measured and AFTER in measured
    return ErasureResult(
        measurement.collection,
        str(measurement.facts["measure"]),
        chance,
        round(1 - statistics.level, 12),
        table[list(TABLE_COLUMNS)],
        {name: side.against(RANK) for name, side in measured.items()},
        _change(measured[BEFORE], measured[AFTER], statistics) if pair else None,
        tuple(measurement.facts["notes"]),
        {name: side.alarm() for name, side in measured.items()},
    )


@dataclass(frozen=True, eq=False)
class _Side:
    """The scores of one model ("before", "after" or a single model) under erasure, with their tests."""

    name: str
    intact: Scores
    retrieved: Scores
    readable: Scores
    removed: pd.DataFrame
    shared: pd.DataFrame
    statistics: ComparisonSettings

    @classmethod
    def of(cls, one: Measurement, side: str, statistics: ComparisonSettings) -> "_Side":
        removed, shared = (
            frame[frame["side"] == side].drop(columns="side") for frame in (one.frames["removed"], one.frames["shared"])
        )
        intact, retrieved, readable = (one.scores[f"{side}/{name}"] for name in (INTACT, RETRIEVED, READABLE))
        return cls(side, intact, retrieved, readable, removed, shared, statistics)

    def draws(self, kind: str) -> xr.DataArray:
        """Return the retrieval scores after erasing each control subspace of one kind, (query, layer, rank, variant).

        Args:
            kind: `RANK`, `VARIANCE` or `SHUFFLED`.
        """
        values = self.retrieved.values
        return values.sel(variant=[name for name in values["variant"].values if str(name).startswith(f"{kind}:")])

    def erased(self) -> xr.DataArray:
        """Return the retrieval scores with the directions of the training pairs erased, (query, layer, rank)."""
        return self.retrieved.values.sel(variant=ERASED, drop=True)

    def against(self, kind: str) -> Difference:
        """Compare retrieval after the erasure with the mean after erasing random subspaces, paired by query.

        The intervals are over the random subspaces, too.

        Args:
            kind: kind of random subspaces: `RANK` or `VARIANCE`.
        """
        compared = self._compared(self.draws(kind).mean("variant"), self.erased())
        return with_draws(compared, self.erased() - self.draws(kind), self.statistics.level)

    def _compared(self, before: xr.DataArray, after: xr.DataArray) -> Difference:
        settings = replace(self.statistics, family_per=(), correction="holm", margin=None)
        return compare_scores(replace(self.retrieved, values=before), replace(self.retrieved, values=after), settings)

    def use(self) -> Scores:
        """Return how much more each query loses by the erasure than by erasing each random subspace of equal rank."""
        return replace(self.retrieved, name="use", values=self.draws(RANK) - self.erased())

    def table(self, chance: float) -> pd.DataFrame:
        """Return a row for each layer and rank, with the columns `TABLE_COLUMNS`.

        Args:
            chance: accuracy of random guessing by the probe.
        """
        table = self._claims().merge(self._shuffles(), on=AT).merge(self._accuracies(), on=AT)
        table = table.merge(self._variance(), "left", on=AT).merge(self.shared, "left", on=AT)
        table = table.merge(self._fall(), on=AT).merge(self._read(chance), on="layer")
        table = table.assign(side=self.name, intact=float(self.intact.values.mean()))
        alpha = 1 - self.statistics.level
        table["is_shared"] = table["shared"] > table["shared_shuffled"]
        table["at_floor"] = table["random"] < FLOOR * table["intact"]
        table["fell"] = table["p_fall"] < alpha
        tests = {
            INCONCLUSIVE: ~table["is_shared"],
            USED: table["p_corrected"] < alpha,
            UNCLEAR: table["p_rank"] < alpha,
            UNUSED: table["fell"] & ~table["at_floor"],
        }
        use = np.select([*tests.values()], [*tests], INCONCLUSIVE)
        return table.assign(is_readable=table["p_readable"] < alpha, use=use)

    def _fall(self) -> pd.DataFrame:
        """Test at each layer and rank whether erasure lowers the accuracy of the probe. p is Holm-corrected."""
        intact, erased = (self.readable.values.sel(state=state, drop=True) for state in (INTACT, ERASED))
        table = rows(self._compared(intact, erased))
        return table[AT].assign(p_fall=table["p_corrected"].where(table["effect"] < 0, 1.0))

    def _read(self, chance: float) -> pd.DataFrame:
        """Test at each layer whether the probe is above chance. p is Holm-corrected over layers."""
        intact = self.readable.values.sel(state=INTACT, drop=True).isel(rank=0, drop=True)
        table = rows(self._compared(xr.full_like(intact, chance).where(intact.notnull()), intact))
        return table[["layer"]].assign(p_readable=table["p_corrected"].where(table["effect"] > 0, 1.0))

    def _claims(self) -> pd.DataFrame:
        """Return a row for each layer and rank: the harm by erasure minus that by random subspaces, and its tests.

        `p` is the largest p of these tests.
        """
        harms = {kind: rows(self.against(kind)) for kind in CONTROLS}
        first = harms[RANK]
        records = [self._claim(row, harms[VARIANCE].iloc[place]) for place, row in first.iterrows()]
        return pd.DataFrame(records).assign(p_rank=lambda t: _holm(t["p_rank"]), p_corrected=lambda t: _holm(t["p"]))

    def _shuffles(self) -> pd.DataFrame:
        """Return a row for each layer and rank: the harm by directions of shuffled pairs minus that by random ones.

        Its p-value is not corrected.
        """
        shuffles, draws = self.draws(SHUFFLED), self.draws(RANK)
        table = rows(self._compared(draws.mean("variant"), shuffles.mean("variant")))
        p = []
        for _, row in table.iterrows():
            at = {name: row[name] for name in AT}
            p_draws = _lower(shuffles.sel(at).mean("query").values, draws.sel(at).mean("query").values)
            p.append(max(float(row["p"]), p_draws) if row["effect"] < 0 else 1.0)
        return table[AT].assign(shuffled_beyond=table["effect"], p_shuffled=p)

    def alarm(self) -> float:
        """Return the p-value of the test that erasing directions of shuffled pairs harms more than erasing random ones.

        The harm is the mean over layers and ranks.
        """
        shuffles, draws = (self.draws(kind).mean(AT).expand_dims(cell=[0], axis=-1) for kind in (SHUFFLED, RANK))
        row = rows(self._compared(draws.mean("variant"), shuffles.mean("variant"))).iloc[0]
        p_draws = _lower(shuffles.mean(["query", "cell"]).values, draws.mean(["query", "cell"]).values)
        return max(float(row["p"]), p_draws) if row["effect"] < 0 else 1.0

    def _claim(self, row: "pd.Series[Any]", variance: "pd.Series[Any]") -> Mapping[str, Any]:
        at = {name: row[name] for name in AT}
        top = float(self.erased().sel(at).mean())
        p_draws = {kind: prediction_p(top, self.draws(kind).sel(at).mean("query").values) for kind in CONTROLS}
        p_rank = max(row["p"], p_draws[RANK]) if row["effect"] < 0 else 1.0
        p_variance = max(variance["p"], p_draws[VARIANCE]) if variance["effect"] < 0 else 1.0
        return {
            **at, "erased": top, "random": row["before"], "variance": variance["before"], "beyond": row["effect"],
            "ci_low": row["ci_low"], "ci_high": row["ci_high"], "p_queries": row["p"], "p_draws": p_draws[RANK],
            "p_variance": p_variance, "p_rank": p_rank, "p": max(p_rank, p_variance), "n": row["n"],
        }  # fmt: skip

    def _accuracies(self) -> pd.DataFrame:
        """Return the probe's accuracy by layer and rank: intact with its interval, erased, and with random erasure."""
        values = self.readable.values
        cells = values.stack(cell=AT)
        intact = outcome_mean(
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
        """Return the share of the variance that the erasure removes, and the share that random subspaces remove."""
        kinds = self.removed.assign(kind=self.removed["variant"].str.partition(":")[0])
        wide = kinds.pivot_table("removed", AT, "kind").reindex(columns=[ERASED, RANK]).reset_index()
        return wide.rename(columns={ERASED: "removed", RANK: "removed_random"})


def _change(before: _Side, after: _Side, statistics: ComparisonSettings) -> Difference:
    """Compare before and after: the loss by the erasure, minus that by random subspaces of equal rank.

    Intervals and tests are over random subspaces and queries together.
    """
    sides = align(before.use(), after.use())
    first, second = (replace(one, values=one.values.mean("variant")) for one in sides)
    plain = replace(statistics, family_per=(), headline=None, margin=None)
    compared = compare_scores(first, second, plain)
    return judged_with_draws(compared, sides[1].values - sides[0].values, statistics.level)


def _lower(one: Float[np.ndarray, "draw"], other: Float[np.ndarray, "draw"]) -> float:
    """Return the one-sided p of Welch's test that the mean of `one` is below that of `other`, or 1 if all are equal."""
    moments = [(part.mean(), part.std(ddof=1), len(part)) for part in (one, other)]
    p = stats.ttest_ind_from_stats(*moments[0], *moments[1], equal_var=False, alternative="less").pvalue
    return float(np.nan_to_num(p, nan=1.0))


def _holm(p: "pd.Series[float]") -> "pd.Series[float]":
    values = p.to_numpy(dtype=float)
    return pd.Series(correct("holm", values, np.zeros((0, len(values))), SignFlips()), index=p.index)
