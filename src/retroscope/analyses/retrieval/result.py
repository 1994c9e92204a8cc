"""Result of retrieval."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from retroscope.errors import unknown_name
from retroscope.statistics import Difference


@dataclass(frozen=True)
class RankedPassage:
    """A passage that a retriever put near the top."""

    id: str
    text: str
    score: float
    relevant: bool


@dataclass(frozen=True)
class TopPassages:
    """The top of both rankings for one query, best first."""

    before: tuple[RankedPassage, ...]
    after: tuple[RankedPassage, ...]


@dataclass(frozen=True, eq=False)
class RetrievalEffect:
    """Retrieval on one collection, paired by query.

    Attributes:
        collection: its name.
        effect: over `measure`; the headline is a family of its own, the other measures are another.
    """

    collection: str
    effect: Difference


@dataclass(frozen=True, eq=False)
class RetrievalResult:
    """Retrieval on every collection, the first one first.

    Attributes:
        by_collection: the effects.
        headline: the measure that the report opens with.
        flip_measure: the measure by which queries of the first collection are listed as gained or lost.
        query_texts: query id -> text, of the queries that gained or lost.
        top_passages: query id -> the top of both rankings, of those that the page shows.
    """

    by_collection: tuple[RetrievalEffect, ...]
    headline: str
    flip_measure: str
    query_texts: Mapping[str, str] = field(default_factory=dict)
    top_passages: Mapping[str, TopPassages] = field(default_factory=dict)

    def __post_init__(self) -> None:
        measures = [str(name) for name in self.effect.table.coords["measure"].values]
        for wanted in (self.headline, self.flip_measure):
            if wanted not in measures:
                raise unknown_name("measure of retrieval", wanted, measures)

    @property
    def effect(self) -> Difference:
        """Return the effect on the first collection."""
        return self.by_collection[0].effect
