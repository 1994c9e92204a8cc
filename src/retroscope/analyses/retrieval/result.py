"""Result of the analysis of retrieval."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from retroscope.errors import unknown_name
from retroscope.statistics import Difference


@dataclass(frozen=True, eq=False)
class QueryRankings:
    """Rankings by both models for every query of a collection.

    Attributes:
        queries: query_id, text (cut), words (of the whole text), rank_before and rank_after: the ranks of the first
            relevant passage, 0 if it is below `depth`.
        hits: query_id, side, rank, passage_id, score, relevant: the first passages of the rankings, for all queries or
            a sample.
        passages: passage_id and text of the passages in `hits`.
        depth: number of passages of a ranking in which a relevant one was looked for.
    """

    queries: pd.DataFrame
    hits: pd.DataFrame
    passages: pd.DataFrame
    depth: int


@dataclass(frozen=True, eq=False)
class RetrievalEffect:
    """Effect of fine-tuning on retrieval over one collection, paired by query.

    Attributes:
        collection: its name.
        effect: effect over `measure`. The headline measure is a family of its own, all other measures are another.
        rankings: the rankings, or None in a study that was stored without them.
    """

    collection: str
    effect: Difference
    rankings: QueryRankings | None = None


@dataclass(frozen=True, eq=False)
class RetrievalResult:
    """Retrieval on every collection, the study's first collection first.

    Attributes:
        by_collection: the effects.
        headline: the measure that the report opens with.
        flip_measure: the measure by which queries of the first collection are listed as gained or lost.
    """

    by_collection: tuple[RetrievalEffect, ...]
    headline: str
    flip_measure: str

    def __post_init__(self) -> None:
        measures = [str(name) for name in self.effect.table.coords["measure"].values]
        for measure in (self.headline, self.flip_measure):
            if measure not in measures:
                raise unknown_name("measure of retrieval", measure, measures)

    @cached_property
    def query_texts(self) -> Mapping[str, str]:
        """Return query id -> text for the first collection, empty if the study was stored without texts."""
        rankings = self.by_collection[0].rankings
        if rankings is None:
            return {}
        return dict(zip(rankings.queries["query_id"], rankings.queries["text"], strict=True))

    @property
    def effect(self) -> Difference:
        """Return the effect of fine-tuning on the study's first collection."""
        return self.by_collection[0].effect
