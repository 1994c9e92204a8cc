"""Measure single blocks of those groups of blocks whose transplant has a significant effect (coarse to fine)."""

from collections.abc import Mapping
from dataclasses import replace

from retroscope.analyses.transplants.hybrids.random_changes import random_changes
from retroscope.analyses.transplants.hybrids.scores import Measured, Sweep, hybrid_scores
from retroscope.analyses.transplants.single_blocks import block_differences, blocks_to_measure, claimed_blocks
from retroscope.scores import Scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.settings import ComparisonSettings


def single_block_scores(
    sweep: Sweep, differences: Mapping[str, Difference], statistics: ComparisonSettings
) -> tuple[Measured, dict[str, Scores]]:
    """Return, by direction, retrieval scores with each single block of the significant groups, and with random changes.

    The first are those of the intact receiver and of its hybrids, both (query, transplant, measure). The second,
    (query, transplant, draw, measure), are the control of every block with a significant effect. A direction without a
    significant group of several blocks is left out.

    Args:
        differences: direction -> tested effects of all transplants, with the groups of blocks.
    """
    measured: Measured = {}
    random: dict[str, Scores] = {}
    for direction, difference in differences.items():
        blocks = blocks_to_measure(difference)
        if not blocks:
            continue
        settings = replace(sweep.settings, directions=(direction,))
        one = replace(sweep, names=("none", *blocks), settings=settings, stage=f"single blocks ({direction})")
        measured |= hybrid_scores(one)
        claimed = claimed_blocks(difference, measured[direction], statistics)
        if claimed and sweep.settings.draws:
            effects = block_differences(measured[direction], statistics)
            named = replace(sweep, stage="single blocks: random change")
            random[direction] = random_changes(named, effects, direction, claimed, statistics)
    return measured, random
