"""Result of the analysis of several trainings of one retriever."""

from dataclasses import dataclass

import pandas as pd

from retroscope.errors import demand_columns
from retroscope.statistics import Difference
from retroscope.statistics.trainings import EFFECT_COLUMNS, CrossedMethod, crossed_method


@dataclass(frozen=True, eq=False)
class TrainingsResult:
    """Effect of fine-tuning over trainings and queries together.

    Attributes:
        names: names of the trainings. The first is the retriever that all other analyses measure.
        each: every training against the backbone, over (training, measure); intervals over queries alone.
        retrieval: a row for each measure, with `EFFECT_COLUMNS`: means over trainings and queries, the interval of the
            effect over both, `spread` (the standard deviation of the effect over trainings), and the numbers of
            trainings and queries.
        probing: the same by probe, passages and layer, without controls, or None if no suitable probe was requested.
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
        """Return the error rate that the tests allow."""
        return round(1 - self.level, 12)

    @property
    def method(self) -> CrossedMethod:
        """Return the methods of the intervals over trainings and queries."""
        return crossed_method(self.level, len(self.names))
