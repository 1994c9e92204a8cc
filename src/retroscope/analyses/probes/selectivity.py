"""Selectivity: what a probe reads beyond what it reads when the queries are shuffled.

After Hewitt and Liang (2019), with the shuffled-query control: accuracy - shuffled accuracy,
paired by query, so that its interval is one of a difference.
"""

from functools import lru_cache

import pandas as pd

from retroscope.analyses.probes.controls import SHUFFLED
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, Difference, compare_scores
from retroscope.study.findings import Findings
from retroscope.typesetting.frames import PLAIN, rows
from retroscope.typesetting.subject import AFTER, BEFORE

COLUMNS = ["side", "probe", "passages", "layer", "value", "low", "high"]


@lru_cache(maxsize=1)  # tables and figures of one report ask for the same rows
def selectivity(findings: Findings) -> pd.DataFrame:
    """One row per side, probe, number of passages and layer: value, low, high.

    Empty without the control, or without the probes themselves.
    """
    probing = findings.probing
    if probing is None or not {SHUFFLED, PLAIN} <= set(rows(probing)["control"]):
        return pd.DataFrame(columns=COLUMNS)
    sides = ((BEFORE, probing.before), (AFTER, probing.after))
    return pd.concat([_of_side(probing, scores).assign(side=side) for side, scores in sides], ignore_index=True)[
        COLUMNS
    ]


def _of_side(probing: Difference, scores: Scores) -> pd.DataFrame:
    method = probing.method
    settings = ComparisonSettings(level=method["level"], resamples=method["resamples"], seed=method["seed"])
    shuffled, plain = (scores.select(control=control) for control in (SHUFFLED, PLAIN))
    frame = rows(compare_scores(shuffled, plain, settings))
    return frame.rename(columns={"effect": "value", "ci_low": "low", "ci_high": "high"})
