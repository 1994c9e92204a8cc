"""Result of the analysis of representation drift."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from retroscope.drift.result import RepresentationDrift
from retroscope.statistics import Difference


@dataclass(frozen=True, eq=False)
class TextMap:
    """Positions of a sample of texts under both models, in one plane.

    Attributes:
        places: a row for each text: text_id, kind ("query", "relevant", "other"), text (cut), before_x, before_y,
            after_x, after_y.
        links: a row for each query of the map and each of its relevant passages: query_id, passage_id.
        loss: how many "queries" and "passages" are in the map, and out of how many passages ("of"); for both models,
            the share of the variance that the plane keeps and the correlation of distances; the shift of the means (see
            `drift.embedding_map`).
    """

    places: pd.DataFrame
    links: pd.DataFrame
    loss: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class CollectionDrift:
    """Comparison of both models' vectors over the texts of one collection.

    Attributes:
        collection: name of the collection.
        drift: drift by layer. The final norm of the models, if they have one, is applied to each layer.
        bare: drift by layer without the final norm. None if the models have none, and on every collection but the
            first.
        whitened: effect of fine-tuning on retrieval with whitened vectors, over `measure`. None if there are too many
            passages, and on every collection but the first.
        text_map: map of a sample of texts. None on every collection but the first, and in a study that was stored
            without it.
    """

    collection: str
    drift: RepresentationDrift
    bare: RepresentationDrift | None = None
    whitened: Difference | None = None
    text_map: TextMap | None = None


@dataclass(frozen=True, eq=False)
class RepresentationResult:
    """How both models' vectors differ on every collection, the study's first collection first."""

    by_collection: tuple[CollectionDrift, ...]

    @property
    def first(self) -> CollectionDrift:
        """Return the comparison on the study's first collection."""
        return self.by_collection[0]
