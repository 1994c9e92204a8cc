"""Settings of the projection onto the vocabulary. No torch."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.errors import SettingsError
from retroscope.ranges import AnyNumber, Distinct, OneOrMore, Range, Seed, check_ranges


@dataclass(frozen=True, kw_only=True)
class VocabularySettings:
    """Settings of the projection: the vectors that are projected, and the number of words of each.

    Attributes:
        layers: that are projected; None: all.
        k: tokens of the largest probability, whose words a vector says.
        centred: subtract the mean logits of the tower's texts first, so that a vector says what it has more of than
            the others. Without, as published, frequent words come first in every vector.
        queries: queries that are projected, at most, each with its first relevant passage; a sample of more.
        seed: seed of the sample, and of the shuffled pairs.
    """

    layers: Annotated[tuple[AnyNumber, ...], Distinct()] | None = None
    k: Annotated[int, Range(1, 1000)] = 20
    centred: bool = False
    queries: OneOrMore = 2000
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.layers == ():
            raise SettingsError("no layer", fix="name at least one, or leave layers out for all")
