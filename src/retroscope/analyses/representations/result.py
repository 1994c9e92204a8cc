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
        places: text_id, kind ("query", "relevant", "other"), text (cut), before_x, before_y, after_x, after_y.
        links: query_id, passage_id: queries of the map and their relevant passages.
        loss: numbers of "queries", of "passages", and "of" all passages of the collection; for both sides the share of
            the variance that is kept and the correlation of distances; the shift of the means (see
            `drift.embedding_map`).
    """

    places: pd.DataFrame
    links: pd.DataFrame
    loss: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class CollectionDrift:
    """Comparison of both models' vectors over the texts of one collection.

    Attributes:
        collection: its name.
        drift: drift by layer, after the final norm if the model has one.
        bare: the same without the final norm, or None if the model has none, and on further collections.
        whitened: retrieval with the whitened vectors of both models, over `measure`, or None if there are too many
            passages, and on further collections.
        text_map: map of a sample of texts, or None on further collections, and in a study that was stored without it.
    """

    collection: str
    drift: RepresentationDrift
    bare: RepresentationDrift | None = None
    whitened: Difference | None = None
    text_map: TextMap | None = None


@dataclass(frozen=True, eq=False)
class RepresentationResult:
    """Drift of representations on every collection, the study's first collection first."""

    by_collection: tuple[CollectionDrift, ...]

    @property
    def first(self) -> CollectionDrift:
        """Return the comparison on the study's first collection."""
        return self.by_collection[0]
