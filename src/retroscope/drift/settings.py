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
        texts: the largest number of texts of a tower that are compared. If there are more, they are drawn at random.
            RSA and neighbours compare all pairs of these texts.
        cross_texts: how many of these texts, at most, are used to compare every layer with every other layer.
        neighbours: how many nearest neighbours of a text are compared.
        level: confidence level of the intervals, which are over texts (delete-a-group jackknife).
        seed: seed of the sample, of the groups of the jackknife and of the halves.
    """

    texts: OneOrMore = 1000
    cross_texts: OneOrMore = 300
    neighbours: OneOrMore = 10
    level: OpenFraction = 0.95
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        from retroscope.statistics.resampling.jackknife import (
            fewest_texts,  # takes seconds to import, and reading defaults needs none
        )

        few = fewest_texts(self.neighbours)
        if self.texts < few:
            raise SettingsError(
                f"representations.texts is {self.texts}, too few for intervals with {self.neighbours} neighbours",
                fix=f"set it to {few} or more, or set a smaller representations.neighbours",
            )
        if self.cross_texts < 4:
            raise SettingsError(
                f"representations.cross_texts is {self.cross_texts}, but CKA needs at least 4 texts",
                fix="set it to 4 or more",
            )


@dataclass(frozen=True, kw_only=True)
class ShiftSettings:
    """Settings of domain shift: sampled passages, neighbours and intervals.

    Attributes:
        texts: the largest number of passages of a collection that are compared. If it has more, they are drawn at
            random. One half of them is also compared with the other half, to estimate the floor (the distance without
            any shift).
        neighbours: how many nearest neighbours of a passage are compared between the models before and after.
        level: confidence level of the intervals, which are over passages (delete-a-group jackknife).
        seed: seed of the samples and of the groups of the jackknife.
    """

    texts: Annotated[int, Range(80, 10**6)] = 600
    neighbours: OneOrMore = 10
    level: OpenFraction = 0.95
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
