"""Result of the comparison of weights."""

from collections.abc import Mapping
from dataclasses import dataclass

from retroscope.drift.result import WeightDrift

BOTH = "query and passage"  # towers that share their weights


@dataclass(frozen=True, eq=False)
class WeightResult:
    """Changes of the weights from backbone to retriever, for the query encoder and the passage encoder.

    Attributes:
        by_tower: "query and passage" if both towers share their weights, else "query" or "passage" -> the change of its
            tensors.
    """

    by_tower: Mapping[str, WeightDrift]
