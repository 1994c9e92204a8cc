"""Settings of domain shift. No torch."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.ranges import OneOrMore, Range, Seed, check_ranges


@dataclass(frozen=True, kw_only=True)
class ShiftSettings:
    """Which passages are compared.

    Attributes:
        texts: the most passages of a collection, a random sample where there are more. Half of them are compared with
            the other half, too, for the floor.
        neighbours: number k of nearest neighbours whose overlap before and after is measured.
        seed: seed of the samples and of the groups of the intervals.
    """

    texts: Annotated[int, Range(80, 10**6)] = 600
    neighbours: OneOrMore = 10
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
