"""Result of the drift of representations."""

from dataclasses import dataclass

from retroscope.drift.result import RepresentationDrift
from retroscope.statistics import Difference


@dataclass(frozen=True, eq=False)
class CollectionDrift:
    """Vectors of both models over the texts of one collection, compared.

    Attributes:
        collection: its name.
        drift: by layer, with the final norm on each where the model has one.
        bare: the same of layers without the final norm; None where the model has none, and on further collections.
        whitened: retrieval with the whitened vectors of both, over `measure`; None where the passages are too many
            for it, and on further collections.
    """

    collection: str
    drift: RepresentationDrift
    bare: RepresentationDrift | None = None
    whitened: Difference | None = None


@dataclass(frozen=True, eq=False)
class RepresentationResult:
    """Drift of representations on every collection, the first one first."""

    by_collection: tuple[CollectionDrift, ...]

    @property
    def first(self) -> CollectionDrift:
        """Return what was found on the first collection."""
        return self.by_collection[0]
