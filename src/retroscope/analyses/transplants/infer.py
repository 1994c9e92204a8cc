"""Test how transplanting weights between two models changes retrieval: effects, shares, controls, interactions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import xarray as xr

from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Reading
from retroscope.analyses.transplants.controls import control_table
from retroscope.analyses.transplants.interactions import interaction_tables
from retroscope.analyses.transplants.result import (
    SHARE_COLUMNS,
    SUM,
    HybridScores,
    Interactions,
    OverTrainings,
    TransplantEffects,
    TransplantResult,
)
from retroscope.analyses.transplants.single_blocks import single_blocks
from retroscope.scores import Scores
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.ratio import ratio_of_means
from retroscope.statistics.resampling.clusters import clusters_by_row
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.trainings import effects_over_trainings, stack_trainings
from retroscope.surgery.transplant import DIRECTIONS
from retroscope.typesetting.frames import alpha, rows

INTACT, HYBRIDS = "intact", "hybrids"  # of every direction
RANDOM_CHANGES, SUBSETS = "random", "subsets"  # of directions that have them
BLOCKS = "blocks"  # single ones, of directions in which a group was split
TRAININGS = "trainings"  # further ones, numbered, of the first direction


@dataclass(frozen=True, eq=False)
class TransplantScores:
    """Retrieval scores by query of all hybrids, random changes, subsets of a few groups, and single blocks.

    Attributes:
        hybrids: direction -> the intact receiver and its hybrids, (query, transplant, measure).
        random: direction -> scores with random changes of the places (blocks, parts) with a significant effect, (query,
            transplant, draw, measure).
        subsets: direction -> scores with every subset of a few groups of weights transplanted, (query, transplant,
            measure); empty if they were not requested.
        blocks: direction -> the intact receiver, and its hybrids with single blocks of the groups that were split,
            (query, transplant, measure); empty if no group was split.
        random_blocks: direction -> scores with random changes of such single blocks with a significant effect.
    """

    hybrids: HybridScores
    random: Mapping[str, Scores] = field(default_factory=dict)
    subsets: Mapping[str, Scores] = field(default_factory=dict)
    blocks: HybridScores = field(default_factory=dict)
    random_blocks: Mapping[str, Scores] = field(default_factory=dict)


def infer(measurements: Sequence[Measurement], reading: Reading) -> TransplantResult | None:
    """Return the tested effects of all transplants on every collection, or None if nothing was transplanted.

    All transplants of one direction and measure are one family of tests.
    """
    statistics = reading.subject.paired_statistics
    effects = []
    for measurement in measurements:
        scores = scores_of(measurement)
        if scores.hybrids:
            single = effects_of(scores, measurement.collection, reading.subject.n_blocks, statistics)
            over = places_over_trainings(
                single, further_of(measurement), reading.subject.after.name, statistics.intervals.level
            )
            effects.append(_with_sample(replace(single, over_trainings=over), measurement.facts))
    return TransplantResult(tuple(effects)) if effects else None


def _with_sample(effects: TransplantEffects, facts: Mapping[str, Any]) -> TransplantEffects:
    return replace(
        effects,
        queries=facts["queries"],
        passages=facts["passages"],
        sample=tuple(facts["sample"]),
        notes=tuple(facts["notes"]),
    )


def scores_of(measurement: Measurement) -> TransplantScores:
    """Return the stored scores of hybrids, random changes, subsets of groups, and single blocks."""
    scores = measurement.scores

    def of(name: str) -> dict[str, Scores]:
        return {d: scores[f"{d}/{name}"] for d in DIRECTIONS if f"{d}/{name}" in scores}

    intact = of(INTACT)
    intact_again = of(f"{BLOCKS}/{INTACT}")
    return TransplantScores(
        {d: (intact[d], hybrids) for d, hybrids in of(HYBRIDS).items()},
        of(RANDOM_CHANGES),
        of(SUBSETS),
        {d: (intact_again[d], hybrids) for d, hybrids in of(f"{BLOCKS}/{HYBRIDS}").items()},
        of(f"{BLOCKS}/{RANDOM_CHANGES}"),
    )


def further_of(measurement: Measurement) -> dict[str, HybridScores]:
    """Return the retrieval scores of the hybrids of each other training run, by its name and by direction."""
    scores, further = measurement.scores, dict[str, HybridScores]()
    for number, training in enumerate(measurement.facts.get(TRAININGS, ())):
        names = {d: [f"{d}/{TRAININGS}/{number}/{name}" for name in (INTACT, HYBRIDS)] for d in DIRECTIONS}
        further[training] = {d: (scores[one], scores[two]) for d, (one, two) in names.items() if one in scores}
    return further


def places_over_trainings(
    effects: TransplantEffects, further: Mapping[str, HybridScores], first: str, level: float
) -> OverTrainings | None:
    """Return the effects of transplants over all training runs and queries together.

    Return None if there is only one training run, or if fewer than two queries were measured.

    The tests of all places (blocks, groups, parts) by one measure are one family.

    Args:
        effects: effects of the first training.
        further: name of another training run -> its scores with the same places transplanted.
        first: name of the first training.
        level: confidence level of the intervals.
    """
    if not further:
        return None
    (direction,) = {direction for scores in further.values() for direction in scores}
    difference, names = effects.differences[direction], (first, *further)
    places = next(iter(further.values()))[direction][1].values["transplant"].values.tolist()
    own = (difference.before.select(transplant=places), difference.after.select(transplant=places))
    each = [own, *(scores[direction] for scores in further.values())]
    intact, hybrids = (
        stack_trainings(f"transplants of every training, {side}", [pair[k] for pair in each], names)
        for k, side in enumerate((INTACT, HYBRIDS))
    )
    frame = effects_over_trainings(intact, hybrids, level, "measure")
    if frame.empty:  # fewer than two queries were measured
        return None
    return OverTrainings(names, direction, frame, _each_training(intact, hybrids), level)


def _each_training(intact: Scores, hybrids: Scores) -> pd.DataFrame:
    """Return each training run's mean scores without and with each transplant, and their difference, the effect.

    Columns: training, transplant, measure, intact, score, effect.
    """
    means = xr.Dataset({"intact": intact.values.mean("query"), "score": hybrids.values.mean("query")})
    frame = means.to_dataframe()[["intact", "score"]].reset_index()
    return frame.assign(effect=frame["score"] - frame["intact"])


def effects_of(
    scores: TransplantScores, collection: str, n_blocks: int, statistics: ComparisonSettings
) -> TransplantEffects:
    """Return the tested effects of all transplants on one collection, with shares, controls and interactions."""
    effects = differences(scores.hybrids, statistics)
    first = next(iter(scores.hybrids.values()))[1]
    measures = tuple(str(name) for name in first.values.coords["measure"].values)
    return TransplantEffects(
        collection,
        n_blocks,
        effects,
        measures,
        shares=share_table(effects, statistics.level),
        controls=control_table(effects, scores.random, statistics),
        single_blocks=single_blocks(effects, scores.blocks, scores.random_blocks, statistics),
        interactions={
            direction: Interactions(*interaction_tables(subsets, measures[0], statistics))
            for direction, subsets in scores.subsets.items()
        },
    )


def differences(hybrids: HybridScores, statistics: ComparisonSettings) -> dict[str, Difference]:
    """Return direction -> paired differences in retrieval between each hybrid and the unchanged receiving model.

    The hybrids of one direction and measure are one family of tests.
    """
    settings = replace(statistics, family_per=("measure",))
    return {direction: compare_scores(*scores, settings) for direction, scores in hybrids.items()}


def share_table(differences: Mapping[str, Difference], level: float) -> pd.DataFrame:
    """Return a table of each transplant's share of the total effect, which is the effect of all weights.

    The columns are `SHARE_COLUMNS`. A direction and measure without a significant total effect has no rows. The row
    `SUM` has the share of the summed effects of all single blocks, or groups of blocks.
    """
    records = []
    for direction, difference in differences.items():
        change = difference.after.values - difference.before.values
        clusters = clusters_by_row(difference.after)
        table = rows(difference).set_index(["transplant", "measure"])["p_corrected"]
        for measure in change["measure"].values.tolist():
            if not table["all", measure] < alpha(difference):
                continue
            cells = change.sel(measure=measure)
            total = cells.sel(transplant="all").values
            parts = {str(name): cells.sel(transplant=name).values for name in cells["transplant"].values}
            blocks = [values for name, values in parts.items() if name.startswith("block:")]
            if len(blocks) > 1:
                parts[SUM] = sum(blocks[1:], start=blocks[0])
            for name, values in parts.items():
                share = ratio_of_means(values, total, level, clusters)
                records.append(dict(zip(SHARE_COLUMNS, (direction, name, measure, share.value, share.low, share.high),
                                        strict=True)))  # fmt: skip
    return pd.DataFrame(records, columns=list(SHARE_COLUMNS))
