"""Result of the projection onto the vocabulary. Computes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from retroscope.scores import Scores
from retroscope.statistics import Difference

OVERLAP, SHUFFLED, DIFFERENCE = "overlap", "shuffled overlap", "difference"


@dataclass(frozen=True)
class RankCorrelation:
    """Rank correlation of the change of an overlap with the change of retrieval, over queries.

    Attributes:
        pairs: `OVERLAP`, the overlap of a query and its relevant passage; `SHUFFLED`, that with another query's
            passage; or `DIFFERENCE`, the difference of the two correlations.
        rho: Spearman's rank correlation over distinct query texts, or a difference of two.
        low, high: its bootstrap interval.
        p: p of a permutation test for a correlation, and of the bootstrap for the difference.
        n: number of distinct query texts.
    """

    pairs: str
    rho: float
    low: float
    high: float
    p: float
    n: int


@dataclass(frozen=True, eq=False)
class VocabularyResult:
    """Projections of the vectors onto the vocabulary at every layer, paired by query.

    Attributes:
        collection: its name.
        k: number of words that a vector decodes to.
        centred: whether the mean logits were subtracted.
        scores: side -> shares, (query, layer, quantity).
        effect: effect of fine-tuning over (layer, quantity). The layers of a quantity are one family. None for one
            model.
        beyond: side -> the overlap of relevant pairs against shuffled ones, over (layer,).
        associated: rank correlations at the last layer, if retrieval was measured.
        measure: the retrieval measure by which queries are listed as gained or lost.
        says: query_id, side, query_says, passage_says, added: the first words of the last layer.
        gain: effect of fine-tuning on the overlap beyond shuffled pairs, over (layer,). None for one model.
    """

    collection: str
    k: int
    centred: bool
    scores: Mapping[str, Scores]
    effect: Difference | None
    beyond: Mapping[str, Difference]
    associated: tuple[RankCorrelation, ...]
    measure: str
    says: pd.DataFrame
    gain: Difference | None

    @property
    def last(self) -> int:
        """Return the last layer whose vectors were projected."""
        scores = next(iter(self.scores.values()))
        return int(scores.values["layer"].values.max())
