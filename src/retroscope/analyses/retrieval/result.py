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
        queries: a row for each query: query_id, text (cut), words (how many the whole text has), and the ranks of the
            first relevant passage, rank_before and rank_after, 0 if it is below `depth`.
        hits: a row for each of the top passages of a ranking, for all queries or a sample: query_id, side, rank,
            passage_id, score, relevant.
        passages: passage_id and text of the passages in `hits`.
        depth: how many top passages of a ranking were searched for a relevant one.
    """

    queries: pd.DataFrame
    hits: pd.DataFrame
    passages: pd.DataFrame
    depth: int


@dataclass(frozen=True, eq=False)
class RetrievalEffect:
    """Effect of fine-tuning on retrieval over one collection, paired by query.

    Attributes:
        collection: name of the collection.
        effect: effect over `measure`. The headline measure is tested on its own; the tests of all other measures are
            corrected together.
        rankings: the rankings of both models, or None in a study that was stored without them.
    """

    collection: str
    effect: Difference
    rankings: QueryRankings | None = None


@dataclass(frozen=True, eq=False)
class RetrievalResult:
    """Effect of fine-tuning on retrieval for every collection, the study's first collection first.

    Attributes:
        by_collection: the effect of fine-tuning on each collection.
        headline: the headline measure, with which the report opens.
        flip_measure: the measure whose change decides which queries are listed as changed.
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
