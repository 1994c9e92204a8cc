"""Transplant weights of one model into the other (e.g. one block, one part, all), and measure retrieval each time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from retroscope.analyses.analysis import Instrument, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.transplants.hybrids.further_trainings import further_scores, refused_pair
from retroscope.analyses.transplants.hybrids.pilot import pilot
from retroscope.analyses.transplants.hybrids.random_changes import random_scores
from retroscope.analyses.transplants.hybrids.scores import Measured, Sweep, hybrid_scores, tokenised
from retroscope.analyses.transplants.hybrids.single_blocks import single_block_scores
from retroscope.analyses.transplants.hybrids.vectors import FOLDER, FORMAT
from retroscope.analyses.transplants.infer import (
    BLOCKS,
    HYBRIDS,
    INTACT,
    RANDOM_CHANGES,
    SUBSETS,
    TRAININGS,
    differences,
)
from retroscope.analyses.transplants.plan import SweepWork, check_names, held_together, plan, refuse_large
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.precision import PrecisionEffect
from retroscope.files.cache_records import EntryKind, damaged_windows
from retroscope.inputs.pairing import recipe_differences
from retroscope.inputs.sampled import SampleRow, is_sampled, sampled
from retroscope.inputs.whole_search import WholeSearch, few_queries, sample_words
from retroscope.retrieval.measures import depth_caveats
from retroscope.retrieval.retrieve import check_measures
from retroscope.scores import Scores
from retroscope.typesetting.subject import AFTER, BEFORE


def refusal(context: Context, settings: SweepSettings) -> str:
    """Return the reason why no weights can be transplanted (e.g. a single model, equal weights), or "" if they can.

    Raises:
        SettingsError: for an unknown transplant, or a measure that cannot be computed.
    """
    if not context.is_pair:
        return "weights are transplanted between two models, but only one model is given"
    before, after = context.models[BEFORE], context.models[AFTER]
    reason = refused_pair(before, after)
    if not reason:
        check_names(after.passage.anatomy.n_blocks, settings)
        check_measures(settings.measures or (), context.collection)
    return reason


def measure(context: Context, settings: SweepSettings, planned: Planned) -> Measurement:
    """Return the retrieval scores by query of all hybrids and of their controls.

    They are named "DIRECTION/NAME"; the direction is "restored" or "grafted". "intact" is the receiver and "hybrids"
    are its hybrids, both (query, transplant, measure). "random" has random changes of the blocks, groups and parts with
    a significant effect, (query, transplant, draw, measure). "subsets" has every subset of a few groups, (query,
    transplant, measure), in the first direction only, because the other direction has the same models.
    "DIRECTION/blocks/intact", ".../hybrids" and ".../random" are about the single blocks of groups that are split.
    Other training runs are numbered from 0: "DIRECTION/trainings/0/intact" and ".../hybrids", in the first direction;
    the fact "trainings" has their names.
    """
    work: SweepWork = planned.work
    pair, collection = (context.models[BEFORE], context.models[AFTER]), context.collection
    measures = settings.measures or context.settings.measures
    stages = context.stages("transplants")
    whole = context.whole_search(measures) if is_sampled(collection, settings.passages) else None
    rankings = whole.rankings if whole else ()
    searched = sampled(collection, collection.judged_queries, settings.passages, settings.seed, rankings)
    refuse_large(searched, held_together(work, settings), pair[1])
    stages.ended("sample")
    sweep = Sweep(pair, searched, work.names, measures, settings, context.cache, context.named_progress)
    sweep = tokenised(replace(sweep, engine=context.engine))
    effect = pilot(sweep)
    hybrids = hybrid_scores(sweep)
    stages.ended("hybrids")
    statistics = context.settings.statistics.paired
    tested = differences(hybrids, statistics)
    random = random_scores(sweep, tested, statistics)
    stages.ended("random changes")
    blocks = single_block_scores(sweep, tested, statistics) if settings.split_groups else ({}, {})
    stages.ended("single blocks")
    subsets = _subsets(sweep, work)
    stages.ended("subsets")
    others = further_scores(sweep, work.further)
    stages.ended("other trainings")
    facts = _Sample(collection, searched, measures, _sample_rows(hybrids, whole), effect).facts(pair)
    notes = [*facts["notes"], *work.further.notes(pair[0]), *_unsplit(work, settings)]
    return Measurement(
        scores=_named(hybrids, random, subsets) | _of_blocks(*blocks) | _of_trainings(settings.directions[0], others),
        facts=facts | {"notes": notes, "trainings": list(others)},
        caveats=tuple(f"transplants: {note}" for note in notes),
        seconds=stages.seconds,
    )


def _unsplit(work: SweepWork, settings: SweepSettings) -> list[str]:
    if not settings.split_groups or work.blocks:
        return []
    return ["no group was split, because every group is a single block"]


def _named(hybrids: Measured, random: Mapping[str, Scores], subsets: Mapping[str, Scores]) -> dict[str, Scores]:
    names = (INTACT, HYBRIDS)
    scores = {
        f"{d}/{name}": measured for d, both in hybrids.items() for name, measured in zip(names, both, strict=True)
    }
    scores |= {f"{direction}/{RANDOM_CHANGES}": measured for direction, measured in random.items()}
    return scores | {f"{direction}/{SUBSETS}": measured for direction, measured in subsets.items()}


def _of_blocks(measured: Measured, random: Mapping[str, Scores]) -> dict[str, Scores]:
    scores = {
        f"{direction}/{BLOCKS}/{name}": one
        for direction, both in measured.items()
        for name, one in zip((INTACT, HYBRIDS), both, strict=True)
    }
    return scores | {f"{direction}/{BLOCKS}/{RANDOM_CHANGES}": one for direction, one in random.items()}


def _of_trainings(direction: str, others: Mapping[str, tuple[Scores, Scores]]) -> dict[str, Scores]:
    return {
        f"{direction}/{TRAININGS}/{number}/{name}": measured
        for number, both in enumerate(others.values())
        for name, measured in zip((INTACT, HYBRIDS), both, strict=True)
    }


def _subsets(sweep: Sweep, work: SweepWork) -> dict[str, Scores]:
    """Return direction -> scores with every subset of the groups transplanted, for the first direction alone."""
    if not work.subsets:
        return {}
    direction = sweep.settings.directions[0]
    settings = replace(sweep.settings, directions=(direction,))
    intact, hybrids = hybrid_scores(replace(sweep, names=work.subsets, settings=settings, stage="subsets"))[direction]
    none = intact.values.isel(transplant=[0]).assign_coords(transplant=["none"])
    every = xr.concat([none, hybrids.values], "transplant")
    contiguous = every.copy(data=np.ascontiguousarray(every.values))  # as it is read again
    return {direction: replace(hybrids, name="subsets", values=contiguous)}


def _sample_rows(hybrids: Measured, whole: WholeSearch | None) -> list[SampleRow]:
    """Compare the measures on the sample with those on the whole corpus, for every intact model."""
    if whole is None:
        return []
    intact = {scores.recipe["receiver"]: scores.values.isel(transplant=0, drop=True) for scores, _ in hybrids.values()}
    return [row for model, values in intact.items() for row in whole.compared(model, values)]


@dataclass(frozen=True, eq=False)
class _Sample:
    """The searched sample of a collection, and how sampling changes the measures of intact models."""

    whole: Collection
    searched: Collection
    measures: Sequence[str]
    rows: Sequence[SampleRow]
    precision_effect: PrecisionEffect | None = None

    def facts(self, pair: tuple[Retriever, Retriever]) -> dict[str, Any]:
        return {
            "notes": self._notes(pair),
            "queries": len(self.searched.judged_queries),
            "passages": len(self.searched.passages),
            "sample": list(self.rows),
            "precision_effect": None if self.precision_effect is None else self.precision_effect.document(),
        }

    def _notes(self, pair: tuple[Retriever, Retriever]) -> list[str]:
        queries, passages = len(self.searched.judged_queries), len(self.searched.passages)
        notes = [
            f"retrieval was measured with {queries:,} queries over {passages:,} passages",
            *few_queries(self.searched),
        ]
        notes += [
            f"{text}; a hybrid has the recipe of the model that receives the weights"
            for text in recipe_differences(*pair)
        ]
        sampled_only = passages < len(self.whole.passages)
        notes += depth_caveats(self.measures, passages, "sample" if sampled_only else "corpus")
        if sampled_only:
            notes.append(
                f"a sample of {passages:,} of {len(self.whole.passages):,} passages was searched with "
                f"{len(self.searched.queries):,} of {len(self.whole.judged_queries):,} queries; fewer passages "
                "compete, so scores tend to be higher than on the whole corpus"
            )
            notes += sample_words(self.rows)
        if self.precision_effect is not None:
            notes.append(self.precision_effect.words())
        return notes


KEPT = EntryKind("transplants", f"{FOLDER}/*", FORMAT, True, damaged_windows)
INSTRUMENT = Instrument(refusal, plan, measure, keeps=(KEPT,))
