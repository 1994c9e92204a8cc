"""Result of the analysis of layers: retrieval with the vectors of each layer."""

from dataclasses import dataclass

import pandas as pd

from retroscope.statistics import Difference


@dataclass(frozen=True, eq=False)
class Similarities:
    """Histograms of the similarities of sampled queries to their relevant passages and to other passages.

    Attributes:
        counts: table with the columns side, layer, passages ("relevant", "other"), low, high (ends of a bin) and count.
        above: a row for each side and layer: the share of other passages that are less similar to a query than its
            relevant passage is (`above`).
        queries, passages: how many queries and passages were drawn.
    """

    counts: pd.DataFrame
    above: pd.DataFrame
    queries: int
    passages: int


@dataclass(frozen=True, eq=False)
class LayerEffects:
    """Effect of fine-tuning on retrieval with the vectors of every layer, on one collection.

    Attributes:
        collection: name of the collection.
        effect: effect of fine-tuning over (layer, measure). The tests of all layers of a measure are corrected
            together.
        bare: the same effect without the final norm, if the model has one and `effect` applies it to each layer.
        similarities: histograms of similarities to relevant and other passages. None on every collection but the first,
            and in a study that was stored without them.
        first_ranks: rank of the first relevant passage (0 if the ranking contains none) in the columns query, layer,
            before, after; or None in a study that was stored without these ranks.
    """

    collection: str
    effect: Difference
    bare: Difference | None = None
    first_ranks: pd.DataFrame | None = None
    similarities: Similarities | None = None


@dataclass(frozen=True, eq=False)
class LayerResult:
    """Effects of fine-tuning on retrieval by layer, for every collection, the study's first collection first."""

    by_collection: tuple[LayerEffects, ...]

    @property
    def first(self) -> LayerEffects:
        """Return the effects of fine-tuning by layer on the study's first collection."""
        return self.by_collection[0]
