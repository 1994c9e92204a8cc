"""Settings of the comparison of weights."""

from dataclasses import dataclass

from retroscope.drift.settings import DIRECTIONS
from retroscope.ranges import OneOrMore, check_ranges


@dataclass(frozen=True, kw_only=True)
class WeightSettings:
    """Settings of the comparison of weights: whether, and how, the spectra of changes are computed.

    Attributes:
        spectra: ranks and directions of every changed matrix, the slow part.
        directions: how many of a change's first directions amplification and alignment are measured in.
    """

    spectra: bool = True
    directions: OneOrMore = DIRECTIONS

    def __post_init__(self) -> None:
        check_ranges(self)
