"""Settings of the comparison of weights."""

from dataclasses import dataclass

from retroscope.drift.settings import DIRECTIONS
from retroscope.ranges import OneOrMore, check_ranges


@dataclass(frozen=True, kw_only=True)
class WeightSettings:
    """Settings of the comparison of weights: whether, and how, singular values of weight changes are computed.

    Attributes:
        spectra: measure the rank and the singular directions of the change of every matrix, which is slow.
        directions: amplification and alignment are measured in this many of the first singular directions of a change.
    """

    spectra: bool = True
    directions: OneOrMore = DIRECTIONS

    def __post_init__(self) -> None:
        check_ranges(self)
