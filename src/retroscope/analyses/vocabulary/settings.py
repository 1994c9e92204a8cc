"""Settings of the projection of vectors onto the vocabulary. This module does not import torch."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.errors import SettingsError
from retroscope.ranges import AnyNumber, Distinct, OneOrMore, Range, Seed, check_ranges


@dataclass(frozen=True, kw_only=True)
class VocabularySettings:
    """Settings of the projection of vectors onto the vocabulary: layers, number of words for each vector, and sample.

    Attributes:
        layers: layers whose vectors are projected. If None, all layers.
        k: how many of the most probable tokens are the words that a vector decodes to.
        centred: subtract the mean logits over the tower's texts first, so that a vector decodes to words that are more
            probable for it than for other vectors. Without this, as published, frequent words come first for every
            vector.
        queries: the largest number of queries that are projected, each with its first relevant passage, drawn at random
            if there are more.
        seed: seed of the sample and of the shuffled pairs.
    """

    layers: Annotated[tuple[AnyNumber, ...], Distinct()] | None = None
    k: Annotated[int, Range(1, 1000)] = 20
    centred: bool = False
    queries: OneOrMore = 2000
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.layers == ():
            raise SettingsError(
                "vocabulary.layers is an empty list",
                fix="give at least one layer, or leave out vocabulary.layers to use all layers",
            )
