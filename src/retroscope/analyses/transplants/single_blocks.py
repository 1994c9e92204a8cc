"""Test the single blocks of those groups of blocks whose transplant has a significant effect (coarse to fine).

All blocks of all groups are one family of tests, including those of groups that are not split. The latter count as
tests with a p-value of 1. Holm's correction over this family is therefore valid whatever groups are split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from retroscope.analyses.transplants.controls import claimed_places, control_table
from retroscope.analyses.transplants.result import BLOCK_COLUMNS, HybridScores, SingleBlocks
from retroscope.scores import Scores
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.ratio import NO_RATIO, ratio_of_means
from retroscope.statistics.resampling.clusters import clusters_by_row
from retroscope.statistics.resampling.flips import SignFlips
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.testing.correction import correct
from retroscope.surgery.transplant import blocks_within
from retroscope.typesetting.frames import alpha, rows


def blocks_to_measure(difference: Difference) -> list[str]:
    """Return the names of all blocks that belong to a group of several blocks with a significant effect.

    A block of several such groups, which overlap, is named once.
    """
    return blocks_of_all(claimed_places(difference))


def blocks_of_all(names: Sequence[str]) -> list[str]:
    """Return the names of the single blocks of all groups among some transplants, each block once."""
    return list(dict.fromkeys(block for name in names for block in blocks_within(name)))


def block_differences(scores: tuple[Scores, Scores], statistics: ComparisonSettings) -> Difference:
    """Return the effect of transplanting each single block, paired by query, with p-values that are not corrected."""
    settings = replace(statistics, correction="none", family_per=("measure",), headline=None, margin=None)
    return compare_scores(*scores, settings)


def claimed_blocks(difference: Difference, scores: tuple[Scores, Scores], statistics: ComparisonSettings) -> list[str]:
    """Return the single blocks whose transplant changes the first measure significantly, after correction.

    Args:
        difference: tested effects of all transplants of one direction, with the groups of blocks.
        scores: scores of the intact receiver, and with each single block.
    """
    frame = _tested(difference, scores, statistics)
    measure = str(scores[1].values["measure"].values[0])
    claimed = frame[(frame["measure"] == measure) & (frame["p_corrected"] < alpha(difference))]
    return [str(name) for name in claimed["transplant"]]


def single_blocks(
    differences: Mapping[str, Difference],
    measured: HybridScores,
    random: Mapping[str, Scores],
    statistics: ComparisonSettings,
) -> SingleBlocks | None:
    """Return the tested effects of single blocks, with shares and random changes, or None if no group was split.

    Args:
        differences: direction -> tested effects of all transplants.
        measured: direction -> scores of the intact receiver, and with each single block.
        random: direction -> scores after random changes of blocks with a significant effect.
    """
    if not measured:
        return None
    frames = [_with_shares(differences[d], scores, d, statistics) for d, scores in measured.items()]
    tested = {direction: block_differences(measured[direction], statistics) for direction in random}
    return SingleBlocks(pd.concat(frames, ignore_index=True), control_table(tested, random, statistics))


def _tested(difference: Difference, scores: tuple[Scores, Scores], statistics: ComparisonSettings) -> pd.DataFrame:
    """Return a row for each block and measure, with `p_corrected` over all blocks of all groups."""
    family = len(blocks_of_all([str(name) for name in difference.after.values["transplant"].values]))
    frame = rows(block_differences(scores, statistics))
    frame["p_corrected"] = frame.groupby("measure", sort=False)["p"].transform(lambda p: _holm(p, family))
    return frame


def _holm(p: "pd.Series[float]", family: int) -> "pd.Series[float]":
    """Correct by Holm over a family of `family` tests. Those that were not made have p = 1."""
    every = np.append(p.to_numpy(), np.ones(family - len(p)))
    corrected = correct("holm", every, np.zeros((0, family)), SignFlips())
    return pd.Series(corrected[: len(p)], index=p.index)


def _with_shares(
    difference: Difference, scores: tuple[Scores, Scores], direction: str, statistics: ComparisonSettings
) -> pd.DataFrame:
    """Return the tested effects with each block's group, and its share of the effect of all weights.

    The shares of a measure are NaN if the effect of all weights on it is not significant.
    """
    frame = _tested(difference, scores, statistics).rename(
        columns={"before": "intact", "after": "score", "after_low": "low", "after_high": "high"}
    )
    change = scores[1].values - scores[0].values
    total = (difference.after.values - difference.before.values).sel(transplant="all")
    table = rows(difference, transplant="all").set_index("measure")["p_corrected"]
    clusters, shares = clusters_by_row(scores[1]), []
    for row in frame.to_dict(orient="records"):
        measure = row["measure"]
        one = change.sel(transplant=row["transplant"], measure=measure).values
        share = ratio_of_means(one, total.sel(measure=measure).values, statistics.level, clusters)
        share = share if table[measure] < alpha(difference) else NO_RATIO
        shares.append((share.value, share.low, share.high))
    frame[["share", "share_low", "share_high"]] = shares
    frame = frame.assign(direction=direction, group=frame["transplant"].map(_groups(difference)))
    return frame[list(BLOCK_COLUMNS)]


def _groups(difference: Difference) -> dict[str, str]:
    """Return each single block's group: of several that overlap, the first with a significant effect."""
    names = [str(name) for name in difference.after.values["transplant"].values]
    by_rank = [*claimed_places(difference), *names]
    return {block: name for name in reversed(by_rank) for block in blocks_within(name)}
