"""Settings of the analysis of attention heads. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from retroscope.errors import SettingsError, unknown_name
from retroscope.ranges import AnyNumber, Distinct, Range, Seed, check_ranges
from retroscope.retrieval.measures import parse_measure

HEAD_TOWERS = {"query": ("query",), "passage": ("passage",), "both": ("query", "passage")}


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """Settings of the analysis of attention heads: which heads are ablated, on which queries, with which controls.

    Attributes:
        tower: whose heads are fixed: "query", "passage", or "both", the head of one number in both towers.
        limit: judged queries whose margins are measured, at most, drawn with `seed`; 0 takes all. One half of them
            chooses the top heads, the other half tests them.
        negatives: hard negatives among which the one of the margin is found.
        top: heads of each model that are ablated exactly, those whose ablation is estimated to lower the margin most;
            a quarter of its heads at most.
        sample: heads drawn at random from the others that are ablated exactly, so that the error of the estimate is not
            that of top heads alone.
        controls: heads drawn at random from the others of a top head's layer, at most, that it is compared with.
        draws: random sets of heads with the top's number in every layer, that all top heads together are compared with.
        measures: ir-measures names, the first is the headline; None: those of the study.
        passages: size of the sample that is searched of a larger corpus (see `inputs.sampled`); 0 searches all of it.
        attention: whether what heads attend to is measured.
        subjects: query id -> its subject, a part of the query and of its relevant passage that is counted by itself.
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
            raise SettingsError(f"passages is {self.passages}", fix="give at least 2, or 0 for the whole corpus")
        if self.measures == ():
            raise SettingsError("the list of measures is empty", fix="name at least one")
        for name in self.measures or ():
            parse_measure(name)

    @property
    def towers(self) -> tuple[str, ...]:
        """Return the towers whose heads are fixed."""
        return HEAD_TOWERS[self.tower]
