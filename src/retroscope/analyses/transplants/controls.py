"""Transplants against random changes of equal size: does a part matter because of what was learned in it?

Every tensor of the part is changed in a random direction, by the norm of what fine-tuning changed there. A part that is
claimed must do more than that, by queries and by draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from retroscope.analyses.transplants.result import CONTROL_COLUMNS
from retroscope.scores import Scores
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.testing.correction import correct
from retroscope.statistics.testing.prediction import prediction_p
from retroscope.surgery.transplant import PARTS
from retroscope.typesetting.frames import alpha, rows


def single_places(names: Sequence[str]) -> list[str]:
    """Return the transplants of one place alone: a block, a group of neighbours, a part of all blocks."""
    return [name for name in names if name.startswith("block:") or name in PARTS]


def claimed_places(difference: Difference) -> list[str]:
    """Return the places alone that change the first measure, where all weights together do (corrected p)."""
    measure = str(difference.after.values["measure"].values[0])
    p = rows(difference, measure=measure).set_index("transplant")["p_corrected"]
    if not p["all"] < alpha(difference):
        return []
    return [name for name in single_places([str(name) for name in p.index]) if p[name] < alpha(difference)]


def control_table(
    differences: Mapping[str, Difference], random: Mapping[str, Scores], statistics: ComparisonSettings
) -> pd.DataFrame:
    """Return a row a direction, claimed place and measure, columns `CONTROL_COLUMNS`.

    `extra` is the place's effect beyond the mean of the draws, paired by query, with its interval and `p_queries`;
    `p_draws` is that of the place being one more draw (Student's prediction). A claim needs both tests, so its p is the
    larger of theirs, 1 where the place does less in the direction of its own effect; `p_corrected` is that after Holm
    over the places of a direction and measure, and `beats` that it is below alpha.
    """
    records = [row for direction, scores in random.items() for row in _rows(differences[direction], scores, statistics)]
    return pd.DataFrame(records, columns=list(CONTROL_COLUMNS))


def _rows(difference: Difference, scores: Scores, statistics: ComparisonSettings) -> list[dict[str, Any]]:
    values = scores.values
    places = [str(name) for name in values["transplant"].values]
    hybrids = difference.after.values.sel(transplant=places)
    intact = difference.before.values.sel(transplant=places)
    chosen = replace(statistics, family_per=(), correction="none", margin=None)
    beyond = compare_scores(
        replace(scores, values=values.mean("draw")), replace(difference.after, values=hybrids), chosen
    )
    means = (values - intact).mean("query")
    records = []
    for row in rows(beyond).to_dict(orient="records"):
        at = {"transplant": row["transplant"], "measure": row["measure"]}
        effect = float((hybrids - intact).sel(at).mean())
        draws = means.sel(at).values
        sign = float(np.sign(effect))
        p_draws = prediction_p(-sign * effect, -sign * draws)
        p = max(row["p"], p_draws) if sign * row["effect"] > 0 else 1.0
        records.append(
            {"direction": scores.recipe["direction"], **at, "effect": effect, "random": float(draws.mean()),
             "random_lowest": float(draws.min()), "random_highest": float(draws.max()), "draws": len(draws),
             "extra": row["effect"], "extra_low": row["ci_low"], "extra_high": row["ci_high"],
             "p_queries": row["p"], "p_draws": p_draws, "p_corrected": p}
        )  # fmt: skip
    frame = pd.DataFrame(records)
    frame["p_corrected"] = frame.groupby("measure", sort=False)["p_corrected"].transform(_holm)
    claimed: list[dict[str, Any]] = frame.assign(beats=frame["p_corrected"] < alpha(beyond)).to_dict(orient="records")
    return claimed


def _holm(p: "pd.Series[float]") -> "pd.Series[float]":
    corrected = correct("holm", p.to_numpy(), np.zeros((0, len(p))), SignFlips())
    return pd.Series(corrected, index=p.index)
