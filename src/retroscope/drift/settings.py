"""Settings of the comparison of representations, and of collections (domain shift)."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.errors import SettingsError
from retroscope.ranges import OneOrMore, OpenFraction, Range, Seed, check_ranges

DIRECTIONS = 8  # first directions of a change, in which amplification and alignment are measured


@dataclass(frozen=True, kw_only=True)
class DriftSettings:
    """Settings of the comparison of representations: sampled texts, neighbours and intervals.

    Attributes:
        texts: the most texts of a tower that are compared, a random sample where there are more: RSA and neighbours
            compare all pairs.
        cross_texts: the most of these texts that the map of every layer against every other uses.
        neighbours: number k of nearest neighbours that are compared.
        level: confidence level of the intervals, which are over texts (delete-a-group jackknife).
        seed: seed of sample, groups and halves.
    """

    texts: OneOrMore = 1000
    cross_texts: OneOrMore = 300
    neighbours: OneOrMore = 10
    level: OpenFraction = 0.95
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        from retroscope.statistics.resampling.jackknife import (
            GROUPS,  # takes seconds to import, and reading defaults needs none
        )

        for name, fewest in (("texts", 2 * GROUPS), ("cross_texts", 4), ("neighbours", 1)):
            if getattr(self, name) < fewest:
                raise SettingsError(f"{name} is {getattr(self, name)}", fix=f"give {fewest} or more")


@dataclass(frozen=True, kw_only=True)
class ShiftSettings:
    """Settings of domain shift: sampled passages, neighbours and intervals.

    Attributes:
        texts: the most passages of a collection, a random sample where there are more. Half of them are compared with
            the other half, too, for the floor.
        neighbours: number k of nearest neighbours whose overlap before and after is measured.
        level: confidence level of the intervals, which are over passages (delete-a-group jackknife).
        seed: seed of the samples and of the groups.
    """

    texts: Annotated[int, Range(80, 10**6)] = 600
    neighbours: OneOrMore = 10
    level: OpenFraction = 0.95
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
