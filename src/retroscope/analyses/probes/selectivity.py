"""Selectivity: accuracy of a probe minus its accuracy with shuffled queries.

This follows Hewitt and Liang (2019), but with shuffled queries as the control. Both accuracies are paired by query, so
the interval is that of a paired difference.
"""

import pandas as pd

from retroscope.analyses.probes.control_rules import SHUFFLED
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, Difference, compare_scores
from retroscope.typesetting.frames import PLAIN, rows
from retroscope.typesetting.subject import AFTER, BEFORE

COLUMNS = ["side", "probe", "passages", "layer", "value", "low", "high"]


def selectivity(effect: Difference | None) -> pd.DataFrame:
    """Return each probe's selectivity (accuracy minus accuracy with shuffled queries) with its interval, as a table.

    There is a row for each model, probe, number of candidates and layer. There are no rows if shuffled queries, or the
    probes themselves, were not measured.
    """
    if effect is None or not {SHUFFLED, PLAIN} <= set(rows(effect)["control"]):
        return pd.DataFrame(columns=COLUMNS)
    sides = ((BEFORE, effect.before), (AFTER, effect.after))
    frames = [_of_side(effect, scores).assign(side=side) for side, scores in sides]
    return pd.concat(frames, ignore_index=True)[COLUMNS]


def _of_side(effect: Difference, scores: Scores) -> pd.DataFrame:
    method = effect.method
    settings = ComparisonSettings(level=method["level"], resamples=method["resamples"], seed=method["seed"])
    shuffled, plain = (scores.select(control=control) for control in (SHUFFLED, PLAIN))
    frame = rows(compare_scores(shuffled, plain, settings))
    return frame.rename(columns={"effect": "value", "ci_low": "low", "ci_high": "high"})
