"""Result of retrieval by layer."""

from dataclasses import dataclass

from retroscope.statistics import Difference


@dataclass(frozen=True, eq=False)
class LayerEffects:
    """Retrieval with the vectors of every layer on one collection, paired by query.

    Attributes:
        collection: its name.
        effect: over (layer, measure); the layers of a measure are a family.
        bare: the same of layers without the final norm, where the model has one and `effect` is with it on each.
    """

    collection: str
    effect: Difference
    bare: Difference | None = None


@dataclass(frozen=True, eq=False)
class LayerResult:
    """Retrieval by layer on every collection, the first one first."""

    by_collection: tuple[LayerEffects, ...]

    @property
    def first(self) -> LayerEffects:
        """Return what was found on the first collection."""
        return self.by_collection[0]
