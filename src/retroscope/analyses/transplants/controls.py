"""Compare transplants with random weight changes of equal size, to test whether the learned values matter.

Every transplanted tensor is moved in a random direction, by the norm of its real change. A place (a block, a group of
blocks or a part) is claimed only if its transplant has a larger effect than these random changes, by a test over
queries and a test over draws. Half of the draws are made first. The other half is made only for places whose test is
still undecided (`statistics.testing.sequential`). The scores of draws that were not made are NaN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from retroscope.analyses.transplants.result import CONTROL_COLUMNS
from retroscope.scores import Scores
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.testing.correction import correct
from retroscope.statistics.testing.prediction import prediction_p
from retroscope.statistics.testing.sequential import looks, sequential_p
from retroscope.surgery.transplant import PARTS
from retroscope.typesetting.frames import alpha, rows


def single_places(names: Sequence[str]) -> list[str]:
    """Return those transplants that exchange only one block, one group of blocks, or one part of all blocks."""
    return [name for name in names if name.startswith("block:") or name in PARTS]


def claimed_places(difference: Difference) -> list[str]:
    """Return the blocks, groups and parts whose transplant changes the first measure significantly.

    Return none if transplanting all weights does not change this measure significantly.
    """
    measure = str(difference.after.values["measure"].values[0])
    p = rows(difference, measure=measure).set_index("transplant")["p_corrected"]
    if not p["all"] < alpha(difference):
        return []
    return [name for name in single_places([str(name) for name in p.index]) if p[name] < alpha(difference)]


def control_table(
    differences: Mapping[str, Difference], random: Mapping[str, Scores], statistics: ComparisonSettings
) -> pd.DataFrame:
    """Return a table that compares each transplant with a significant effect with random changes of equal size.

    There is a row for each direction, block or part, and measure, with the columns `CONTROL_COLUMNS`.

    `extra` is the place's effect beyond the mean of the draws, paired by query, with its interval and `p_queries`.
    `p_draws` is the p of the test whether the place could be one more draw (Student's prediction). A claim needs both
    tests, so its p is the larger of the two. This p is 1 if the effect of the place is smaller than the mean of its
    draws. It combines the tests after half of the draws and after all draws. `p_corrected` is this p after Holm's
    correction over the places of a direction and measure. `beats` says whether `p_corrected` is below alpha.
    """
    records = [row for direction, scores in random.items() for row in _rows(differences[direction], scores, statistics)]
    return pd.DataFrame(records, columns=list(CONTROL_COLUMNS))


def open_places(difference: Difference, scores: Scores, statistics: ComparisonSettings) -> list[str]:
    """Return the blocks, groups and parts whose test against random changes is still undecided.

    Only the test on the first measure counts. A test is decided if the place beats its draws, or if one draw has as
    large an effect (Besag and Clifford 1991 stop there, too), because the rank of the place among the draws is then no
    evidence.
    """
    rows_of = pd.DataFrame(_rows(difference, scores, statistics))
    first = rows_of[rows_of["measure"] == str(scores.values["measure"].values[0])]
    sign = np.sign(first["effect"])
    largest = np.where(sign > 0, first["random_highest"], -first["random_lowest"])
    return [str(name) for name in first.loc[~first["beats"] & (largest < first["effect"].abs()), "transplant"]]


def _rows(difference: Difference, scores: Scores, statistics: ComparisonSettings) -> list[dict[str, Any]]:
    tested = _Tested(difference, scores, statistics)
    planned = looks(scores.values.sizes["draw"])
    by_look = [(look, tested.first_draws(look.draws)) for look in planned]
    frame = by_look[-1][1]
    looked = zip(*(list(at["p"]) for _, at in by_look), strict=True)
    frame["p_corrected"] = [sequential_p(list(zip(planned, values, strict=True))) for values in looked]
    frame["p_corrected"] = frame.groupby("measure", sort=False)["p_corrected"].transform(_holm)
    beats = frame["p_corrected"] < alpha(difference)
    records: list[dict[str, Any]] = frame.drop(columns="p").assign(beats=beats).to_dict(orient="records")
    return records


@dataclass(frozen=True, eq=False)
class _Tested:
    """Scores of transplants and of random changes of the same weights, to be compared after any number of draws."""

    difference: Difference
    scores: Scores
    statistics: ComparisonSettings

    def first_draws(self, n: int) -> pd.DataFrame:
        """Return a row for each block or part and measure: its effect, compared with its first `n` random changes."""
        values = self.scores.values.isel(draw=slice(n))
        places = [str(name) for name in values["transplant"].values]
        hybrids = self.difference.after.values.sel(transplant=places)
        intact = self.difference.before.values.sel(transplant=places)
        settings = replace(self.statistics, family_per=(), correction="none", margin=None)
        beyond = compare_scores(
            replace(self.scores, values=values.mean("draw")), replace(self.difference.after, values=hybrids), settings
        )
        effects, means = (hybrids - intact).mean("query"), (values - intact).mean("query")
        records = []
        for row in rows(beyond).to_dict(orient="records"):
            at = {"transplant": row["transplant"], "measure": row["measure"]}
            draws = means.sel(at).values
            records.append(
                {"direction": self.scores.recipe["direction"], **at}
                | _against_draws(row, float(effects.sel(at)), draws[np.isfinite(draws)], n)
            )
        return pd.DataFrame(records)


def _against_draws(
    beyond: Mapping[str, Any], effect: float, draws: Float[np.ndarray, "draw"], planned: int
) -> dict[str, float]:
    """Compare the effect of transplanting a block or part with those of its random changes (draws).

    Args:
        beyond: the comparison of the place with the mean of its draws, paired by query.
        effect: mean effect of the place over queries.
        draws: mean effect of each draw over queries.
        planned: number of draws after which the place is tested. If fewer were made, p is 1.
    """
    sign = float(np.sign(effect))
    does_more = sign * beyond["effect"] > 0 and len(draws) == planned
    p_draws = prediction_p(-sign * effect, -sign * draws)
    return {
        "effect": effect, "random": float(draws.mean()), "random_lowest": float(draws.min()),
        "random_highest": float(draws.max()), "draws": len(draws),
        "extra": beyond["effect"], "extra_low": beyond["ci_low"], "extra_high": beyond["ci_high"],
        "p_queries": beyond["p"], "p_draws": p_draws,
        "p": max(beyond["p"], p_draws) if does_more else 1.0,
    }  # fmt: skip


def _holm(p: "pd.Series[float]") -> "pd.Series[float]":
    corrected = correct("holm", p.to_numpy(), np.zeros((0, len(p))), SignFlips())
    return pd.Series(corrected, index=p.index)
