"""Settings of the analysis of transplants."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.encoders.precision import EXACT, check_precision
from retroscope.errors import SettingsError
from retroscope.ranges import AnyNumber, Distinct, OneOrMore, OpenFraction, Range, Seed, check_ranges
from retroscope.retrieval.measures import check_distinct_measures
from retroscope.surgery.transplant import DIRECTIONS, named

ANY_DEPTH = 10**6  # blocks, where only the form of a name is checked: the model is not known yet
MOST_GROUPS = 6  # 2^6 subsets


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """Settings of transplants: which hybrids of two models are made, and how they are measured.

    Attributes:
        directions: "restored" (the backbone's weights are put into the retriever), "grafted" (the retriever's weights
            are put into the backbone), or both.
        transplants: names of the transplants, e.g. "block:3" or "attention" (see `surgery.transplant.Transplant`). If
            None: each group of blocks alone, the first k and the last k groups for every k, each part, and
            interpolations by `shares`.
        groups: the largest number of groups of neighbouring blocks. 0 makes every block a group of its own, however
            deep the model.
        split_groups: whether each block of a group with a significant effect is transplanted alone, too.
        shares: how much the donor contributes to an interpolation of both models' weights, e.g. 0.5 for their mean.
        measures: ir-measures names, the first is the headline measure. If None, those of the study.
        passages: number of passages that are sampled from a larger corpus and searched (`inputs.sampled`: all judged
            passages of at least 50 queries, and passages that compete with them). 0 searches the whole corpus.
        draws: number of random changes of equal size, as a control of every single place with a significant effect. 0
            means none.
        interactions: number of groups of weights of which every subset is transplanted, for Shapley values and
            interactions of pairs. The weights outside the blocks are one group, and the blocks are divided into the
            other groups. 0 measures no interactions. At most 6.
        seed: seed of the sample and of the random changes.
        batch_tokens: number of padded tokens in a batch. None chooses a number that suits the device.
        precision: precision of the forward passes of the hybrids, a name in `encoders.precision.PRECISION_NAMES`. Its
            effect is measured first.
    """

    directions: Annotated[tuple[str, ...], Distinct()] = ("restored", "grafted")
    transplants: Annotated[tuple[str, ...], Distinct()] | None = None
    groups: Annotated[int, Range(0, 10_000)] = 4
    split_groups: bool = False
    shares: Annotated[tuple[OpenFraction, ...], Distinct()] = ()
    measures: Annotated[tuple[str, ...], Distinct()] | None = None
    passages: AnyNumber = 150
    draws: Annotated[int, Range(0, 10_000)] = 3
    interactions: Annotated[int, Range(2, MOST_GROUPS, special=(0,))] = 0
    seed: Seed = 0
    batch_tokens: OneOrMore | None = None
    precision: str = EXACT

    def __post_init__(self) -> None:
        check_ranges(self)
        check_precision(self.precision)
        for name in self.directions:
            if name not in DIRECTIONS:
                raise SettingsError(f"unknown direction of transplants {name!r}", fix=f"use {' or '.join(DIRECTIONS)}")
        if self.passages == 1:
            raise SettingsError(
                "transplants.passages is 1, which is too few to search",
                fix="give at least 2, or 0 to search the whole corpus",
            )
        if self.draws == 1:
            raise SettingsError(
                "transplants.draws is 1, which is too few for the test against random changes",
                fix="give at least 2, or 0 for no control",
            )
        if not self.directions or self.measures == ():
            raise SettingsError(
                f"transplants.{'measures' if self.directions else 'directions'} is an empty list",
                fix="give at least one value; leave out transplants.measures to use those of the study",
            )
        for name in self.transplants or ():
            named(name, ANY_DEPTH)
        check_distinct_measures(self.measures or ())
