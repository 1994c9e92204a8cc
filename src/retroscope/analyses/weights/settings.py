"""Settings of the comparison of weights."""

from dataclasses import dataclass

from retroscope.drift.settings import DIRECTIONS
from retroscope.ranges import OneOrMore, check_ranges


@dataclass(frozen=True, kw_only=True)
class WeightSettings:
    """Settings of the comparison of weights: whether, and how, the spectra of weight changes are computed.

    Attributes:
        spectra: measure ranks and directions of every changed matrix, which is the slow part.
        directions: number of the first directions of a change in which amplification and alignment are measured.
    """

    spectra: bool = True
    directions: OneOrMore = DIRECTIONS

    def __post_init__(self) -> None:
        check_ranges(self)
