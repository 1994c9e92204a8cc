"""Result of the projection of vectors onto the vocabulary."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from retroscope.scores import Scores
from retroscope.statistics import Difference

OVERLAP, SHUFFLED, DIFFERENCE = "overlap", "shuffled overlap", "difference"


@dataclass(frozen=True)
class RankCorrelation:
    """Rank correlation between the change of word overlap and the change of retrieval, over query texts.

    Attributes:
        pairs: `OVERLAP` (the words of a query and its relevant passage), `SHUFFLED` (those of a query and another
            query's passage), or `DIFFERENCE` (the difference of the two correlations).
        rho: Spearman's rank correlation over distinct query texts, or a difference of two.
        low, high: ends of its bootstrap interval.
        p: p-value: of a permutation test for a correlation, of the bootstrap for the difference.
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
    """Words that vectors decode to by the language-model head, and their overlap with texts and with each other.

    Attributes:
        collection: name of the collection.
        k: how many of the most probable tokens are the words that a vector decodes to.
        centred: whether the mean logits of all texts are subtracted first.
        scores: "before", "after" or "model" -> shares of decoded words, (query, layer, quantity).
        effect: effect of fine-tuning over (layer, quantity). The tests of all layers of a quantity are corrected
            together. None for one model.
        beyond: "before", "after" or "model" -> the overlap of relevant pairs against that of shuffled pairs, by layer.
        associated: rank correlations at the last layer, if retrieval was measured.
        measure: the retrieval measure whose change is correlated with the change of the overlap.
        says: the most probable words at the last layer: query_id, side, query_says, passage_says, added (words that the
            query does not contain).
        gain: effect of fine-tuning on the overlap of relevant pairs minus that of shuffled pairs, by layer. None for
            one model.
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
        """Return the index of the last layer whose vectors were projected onto the vocabulary."""
        scores = next(iter(self.scores.values()))
        return int(scores.values["layer"].values.max())
