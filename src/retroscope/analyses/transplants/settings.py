"""Settings of the analysis of transplants."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.encoders.precision import EXACT, check_precision
from retroscope.errors import SettingsError
from retroscope.ranges import AnyNumber, Distinct, OneOrMore, OpenFraction, Range, Seed, check_ranges
from retroscope.retrieval.measures import parse_measure
from retroscope.surgery.transplant import DIRECTIONS, named

ANY_DEPTH = 10**6  # blocks, where only the form of a name is checked: the model is not known yet
MOST_GROUPS = 6  # 2^6 subsets


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """Settings of transplants: the hybrids of two models, and how they are measured.

    Attributes:
        directions: "restored" (the backbone's weights in the retriever), "grafted" (the converse), or both.
        transplants: names (see `surgery.transplant.Transplant`); None: groups of blocks alone and from both ends, every
            part, and interpolations by `shares`.
        groups: number of groups of neighbouring blocks, at most; 0: every block is one, however deep the model.
        shares: shares of the donor in interpolations.
        measures: ir-measures names, the first is the headline; None: those of the study.
        passages: size of the sample that is searched of a larger corpus (`inputs.sampled`: all judged passages of at
            least 50 queries, and what competes with them); 0 searches the whole corpus.
        draws: random changes of equal size, as a control of every place alone whose effect is significant; 0: none.
        interactions: of how many groups every subset is transplanted, for Shapley values and pairs: the blocks in one
            group less, and what lies outside them; 0: none. At most `MOST_GROUPS`.
        seed: seed of the sample, and of the random changes.
        batch_tokens: padded tokens of a batch; None takes what suits the device.
        precision: precision of the hybrids' passes, a name in `encoders.precision.PRECISION_NAMES`; its effect is
            measured first.
    """

    directions: Annotated[tuple[str, ...], Distinct()] = ("restored", "grafted")
    transplants: Annotated[tuple[str, ...], Distinct()] | None = None
    groups: Annotated[int, Range(0, 10_000)] = 12
    shares: Annotated[tuple[OpenFraction, ...], Distinct()] = (0.25, 0.5, 0.75)
    measures: Annotated[tuple[str, ...], Distinct()] | None = None
    passages: AnyNumber = 750
    draws: Annotated[int, Range(0, 10_000)] = 8
    interactions: Annotated[int, Range(2, MOST_GROUPS, special=(0,))] = 0
    seed: Seed = 0
    batch_tokens: OneOrMore | None = None
    precision: str = EXACT

    def __post_init__(self) -> None:
        check_ranges(self)
        check_precision(self.precision)
        for name in self.directions:
            if name not in DIRECTIONS:
                raise SettingsError(f"there is no direction {name!r}", fix=f"use {' or '.join(DIRECTIONS)}")
        if self.passages == 1:
            raise SettingsError(f"passages is {self.passages}", fix="give at least 2, or 0 for the whole corpus")
        if self.draws == 1:
            raise SettingsError(f"draws is {self.draws}", fix="give at least 2, or 0 for no control")
        if not self.directions or self.measures == ():
            raise SettingsError("no direction or no measure", fix="name at least one of each")
        for name in self.transplants or ():
            named(name, ANY_DEPTH)
        for name in self.measures or ():
            parse_measure(name)
