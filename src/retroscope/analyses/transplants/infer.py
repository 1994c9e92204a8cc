"""From the scores of hybrids to what a report says of them: tests, shares, controls and interactions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from retroscope.analyses.transplants.hybrid_scores import Measured
from retroscope.analyses.transplants.interactions import interaction_tables
from retroscope.analyses.transplants.random_controls import control_table
from retroscope.analyses.transplants.result import SHARE_COLUMNS, SUM, Interactions, TransplantFindings
from retroscope.analyses.transplants.settings import DIRECTIONS
from retroscope.scores import Scores
from retroscope.statistics.clusters import clusters_by_row
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.ratio import ratio_of_means
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.frames import alpha, rows

HYBRIDS = ("intact", "hybrids")  # of every direction of transplants
RANDOM_CHANGES, SUBSETS = "random", "subsets"  # of directions that have them


@dataclass(frozen=True, eq=False)
class TransplantScores:
    """Everything that was measured of hybrids, by query.

    Attributes:
        hybrids: direction -> the receiver intact, and its hybrids, (query, transplant, measure).
        random: direction -> its claimed places changed at random, (query, transplant, draw, measure).
        subsets: direction -> every subset of a few groups, (query, transplant, measure); empty where not asked for.
        caveats: what a reader must know of them.
        sample: see `TransplantFindings`.
    """

    hybrids: Measured
    random: Mapping[str, Scores] = field(default_factory=dict)
    subsets: Mapping[str, Scores] = field(default_factory=dict)
    caveats: Sequence[str] = ()
    sample: Sequence[Mapping[str, Any]] = ()


def differences(measured: Measured, statistics: ComparisonSettings) -> dict[str, Difference]:
    """Return every hybrid against its intact receiver; those of a measure are one family."""
    chosen = replace(statistics, family_per=("measure",))
    return {direction: compare_scores(*scores, chosen) for direction, scores in measured.items()}


def with_results(
    found: TransplantFindings, measured: TransplantScores, statistics: ComparisonSettings
) -> TransplantFindings:
    """Return the findings with their shares, controls and interactions."""
    interactions = {
        direction: Interactions(*interaction_tables(scores, found.measures[0], statistics))
        for direction, scores in measured.subsets.items()
    }
    return replace(
        found,
        shares=share_table(found.differences, statistics.level),
        controls=control_table(found.differences, measured.random, statistics),
        interactions=interactions,
        caveats=tuple(measured.caveats),
        sample=tuple(measured.sample),
    )


def found_in_study(
    kept: Mapping[str, Scores], facts: Mapping[str, Any], n_blocks: int, statistics: ComparisonSettings
) -> TransplantFindings | None:
    """Return the findings of the scores that a study keeps, "DIRECTION/NAME"; None where it has no hybrids."""
    directions = [d for d in DIRECTIONS if f"{d}/{HYBRIDS[1]}" in kept]
    if not directions:
        return None

    def of_all(name: str) -> dict[str, Scores]:
        return {d: kept[f"{d}/{name}"] for d in directions if f"{d}/{name}" in kept}

    intact, hybrids = map(of_all, HYBRIDS)
    measured = {d: (intact[d], hybrids[d]) for d in directions}
    scores = TransplantScores(
        measured, of_all(RANDOM_CHANGES), of_all(SUBSETS), facts["transplants"], facts.get("transplants_sample", ())
    )
    found = TransplantFindings(
        before=facts["before"]["name"],
        after=facts["after"]["name"],
        collection=facts["collection"]["name"],
        n_blocks=n_blocks,
        differences=differences(measured, statistics),
        measures=tuple(str(m) for m in hybrids[directions[0]].values.coords["measure"].values),
    )
    return with_results(found, scores, statistics)


def share_table(differences: Mapping[str, Difference], level: float) -> pd.DataFrame:
    """Return every transplant's share of the effect of all weights, a row a direction and measure, `SHARE_COLUMNS`.

    A direction and measure whose whole effect is not significant has no rows. The row `SUM` is that of all blocks, or
    groups of blocks, alone: their single effects added up.
    """
    found = []
    for direction, difference in differences.items():
        change = difference.after.values - difference.before.values
        clusters = clusters_by_row(difference.after)
        table = rows(difference).set_index(["transplant", "measure"])["p_corrected"]
        for measure in change["measure"].values.tolist():
            if not table["all", measure] < alpha(difference):
                continue
            cells = change.sel(measure=measure)
            whole = cells.sel(transplant="all").values
            parts = {str(name): cells.sel(transplant=name).values for name in cells["transplant"].values}
            blocks = [values for name, values in parts.items() if name.startswith("block:")]
            if len(blocks) > 1:
                parts[SUM] = sum(blocks[1:], start=blocks[0])
            for name, values in parts.items():
                share = ratio_of_means(values, whole, level, clusters)
                found.append(dict(zip(SHARE_COLUMNS, (direction, name, measure, share.value, share.low, share.high),
                                      strict=True)))  # fmt: skip
    return pd.DataFrame(found, columns=list(SHARE_COLUMNS))
