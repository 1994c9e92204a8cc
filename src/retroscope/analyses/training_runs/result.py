"""Result of the analysis of several training runs of one retriever."""

from dataclasses import dataclass

import pandas as pd

from retroscope.errors import demand_columns
from retroscope.statistics import Difference
from retroscope.statistics.trainings import EFFECT_COLUMNS, CrossedMethod, crossed_method


@dataclass(frozen=True, eq=False)
class TrainingsResult:
    """Effect of fine-tuning on retrieval and probe accuracy, with intervals over training runs and queries together.

    Attributes:
        names: names of the trainings. The first is the retriever that all other analyses measure.
        each: effect of every training on its own, over (training, measure), with intervals over queries alone.
        retrieval: a row for each measure, with `EFFECT_COLUMNS`: means over trainings and queries, the effect with its
            interval over both, `spread` (the standard deviation of the effect over trainings), and how many trainings
            and queries there are.
        probing: the same columns for probe accuracy, by probe, N (passages) and layer, or None if no suitable probe was
            requested.
        level: confidence level of the intervals.
    """

    names: tuple[str, ...]
    each: Difference
    retrieval: pd.DataFrame
    probing: pd.DataFrame | None
    level: float

    def __post_init__(self) -> None:
        demand_columns("retrieval", self.retrieval, EFFECT_COLUMNS, where="TrainingsResult")
        if self.probing is not None:
            demand_columns("probing", self.probing, EFFECT_COLUMNS, where="TrainingsResult")

    @property
    def alpha(self) -> float:
        """Return the significance level of the tests, e.g. .05: 1 minus the confidence level."""
        return round(1 - self.level, 12)

    @property
    def method(self) -> CrossedMethod:
        """Return how the intervals over trainings and queries are computed, as JSON-like values."""
        return crossed_method(self.level, len(self.names))
