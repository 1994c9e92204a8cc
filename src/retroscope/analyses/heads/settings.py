"""Settings of the analysis of attention heads. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from retroscope.errors import SettingsError, unknown_name
from retroscope.ranges import AnyNumber, Distinct, Range, Seed, check_ranges
from retroscope.retrieval.measures import check_distinct_measures

HEAD_TOWERS = {"query": ("query",), "passage": ("passage",), "both": ("query", "passage")}


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """Settings of the analysis of attention heads: which heads are ablated, on which queries, with which controls.

    Attributes:
        tower: tower whose heads are fixed: "query", "passage", or "both" (the same head in both towers).
        limit: the largest number of judged queries whose margins are measured, drawn with `seed`. 0 takes all. One half
            of them selects the top heads, the other half tests them.
        negatives: number of hard negatives. The margin uses the hardest of them.
        top: number of heads of each model that are ablated exactly because their ablation is estimated to lower the
            margin most; at most a quarter of its heads.
        sample: number of other heads, drawn at random, that are also ablated exactly, so that the error of the
            estimates is also known for heads that are not at the top.
        controls: the largest number of other heads of the same layer, drawn at random, that each top head is compared
            with.
        draws: number of random sets of heads that all top heads together are compared with. Each set has as many heads
            in every layer as the set of top heads.
        measures: ir-measures names, the first is the headline measure. If None, those of the study.
        passages: number of passages that are sampled from a larger corpus and searched (see `inputs.sampled`). 0
            searches all.
        attention: measure to which kinds of tokens the heads attend.
        subjects: query id -> its subject, a part of the query and of its relevant passage. The attention to its tokens
            is measured separately.
        seed: seed of every draw.
    """

    tower: str = "both"
    limit: AnyNumber = 96
    negatives: Annotated[int, Range(1, 10_000)] = 4
    top: Annotated[int, Range(1, 10_000)] = 8
    sample: Annotated[int, Range(0, 10_000)] = 8
    controls: Annotated[int, Range(1, 10_000)] = 3
    draws: Annotated[int, Range(2, 10_000, why="the test of the draws needs their spread")] = 5
    measures: Annotated[tuple[str, ...], Distinct()] | None = None
    passages: AnyNumber = 500
    attention: bool = True
    subjects: Mapping[str, str] = field(default_factory=dict)
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.tower not in HEAD_TOWERS:
            raise unknown_name("tower", self.tower, HEAD_TOWERS)
        if self.passages == 1:
            raise SettingsError(
                "heads.passages is 1, which is too few to search",
                fix="give at least 2, or 0 to search the whole corpus",
            )
        if self.measures == ():
            raise SettingsError(
                "heads.measures is an empty list",
                fix="give at least one measure, e.g. nDCG@10, or leave out heads.measures to use those of the study",
            )
        check_distinct_measures(self.measures or ())

    @property
    def towers(self) -> tuple[str, ...]:
        """Return the names of the encoders whose heads are fixed: "query", "passage" or both."""
        return HEAD_TOWERS[self.tower]
