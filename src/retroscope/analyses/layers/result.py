"""Result of the analysis of layers: retrieval with the vectors of each layer."""

from dataclasses import dataclass

import pandas as pd

from retroscope.statistics import Difference


@dataclass(frozen=True, eq=False)
class Similarities:
    """Histograms of the similarities of queries to relevant and to other passages, for a sample of both.

    Attributes:
        counts: side, layer, passages ("relevant", "other"), low, high (ends of a bin), count.
        above: side, layer, above: the share of other passages that are less similar to the query than a relevant
            passage.
        queries, passages: numbers of drawn queries and passages.
    """

    counts: pd.DataFrame
    above: pd.DataFrame
    queries: int
    passages: int


@dataclass(frozen=True, eq=False)
class LayerEffects:
    """Retrieval with the vectors of every layer on one collection, paired by query.

    Attributes:
        collection: its name.
        effect: effect over (layer, measure). The layers of a measure are a family.
        bare: the same effect without the final norm, if the model has one and `effect` applies it to each layer.
        similarities: histograms for relevant and other passages, or None on further collections, and in a study that
            was stored without them.
        first_ranks: query, layer, before, after: the rank of the first relevant passage, 0 if the ranking contains
            none, or None in a study that was stored without them.
    """

    collection: str
    effect: Difference
    bare: Difference | None = None
    first_ranks: pd.DataFrame | None = None
    similarities: Similarities | None = None


@dataclass(frozen=True, eq=False)
class LayerResult:
    """Retrieval by layer on every collection, the study's first collection first."""

    by_collection: tuple[LayerEffects, ...]

    @property
    def first(self) -> LayerEffects:
        """Return the effects on the study's first collection."""
        return self.by_collection[0]
