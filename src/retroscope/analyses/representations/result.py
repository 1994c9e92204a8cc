"""What moved, as a report wants it: weights and representations of both sides, compared. Nothing here computes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from retroscope.analyses.neurons.result import demand_columns
from retroscope.analyses.weights.result import WeightFindings
from retroscope.statistics import Difference

SIMILARITY_COLUMNS = ("tower", "layer", "statistic", "value", "low", "high", "chance", "halves", "sister", "twin")
SHAPE_COLUMNS = ("side", "tower", "layer", "statistic", "value", "low", "high")
CROSS_COLUMNS = ("tower", "layer_before", "layer_after", "cka")


@dataclass(frozen=True, eq=False)
class ElsewhereFindings:
    """The same pair on a second collection.

    Attributes:
        collection: its name.
        retrieval: paired difference over `measure`.
        moved: representations, compared; no weights.
    """

    collection: str
    retrieval: Difference
    moved: "MovedFindings"


@dataclass(frozen=True, eq=False)
class BareLayers:
    """What was measured by layer without the final norm on each, where the model has one.

    Attributes:
        layer_retrieval: over (layer, measure).
        probing: over (probe, control, passages, layer), without controls.
        moved: representations, compared; no weights.
    """

    layer_retrieval: Difference | None
    probing: Difference | None
    moved: "MovedFindings | None"


@dataclass(frozen=True, eq=False)
class MovedFindings:
    """What moved.

    Attributes:
        weights: "query and passage", or each tower with weights of its own -> its tensors.
        similarity: see `retroscope.drift.representations.RepresentationDrift`, as are the next two.
        shape: of each side.
        cross: every layer against every other.
        texts: tower -> how many were compared.
    """

    weights: Mapping[str, WeightFindings]
    similarity: pd.DataFrame
    shape: pd.DataFrame
    cross: pd.DataFrame
    texts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        demand_columns("similarity", self.similarity, SIMILARITY_COLUMNS)
        demand_columns("shape", self.shape, SHAPE_COLUMNS)
        demand_columns("cross", self.cross, CROSS_COLUMNS)
