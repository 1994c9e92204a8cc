"""Ablation studies with planted scores, measured in looks as a real one is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from retroscope.analyses.neurons.ablation.looks import Chosen, measure_in_looks
from retroscope.analyses.neurons.ablation.table import GROUP, claim_rows
from retroscope.analyses.neurons.settings import NeuronAblationSettings
from retroscope.statistics.resampling.intervals import IntervalSettings

HOWS = ("top", "signed", "largest", "bottom", "random")


@dataclass
class PlantedStudy:
    """Scores of every set, and what was measured of them.

    Attributes:
        scores: all of them.
        values: those that were measured; NaN elsewhere.
        measured: sets of each group.
    """

    scores: Float[np.ndarray, "query how draw fraction 1"]
    values: xr.DataArray
    settings: NeuronAblationSettings
    measured: list[tuple[int, Chosen]] = field(default_factory=list)

    def run(self) -> pd.DataFrame:
        """Measure in looks; return the rows by fraction."""
        measure_in_looks(self.values, self._value_of, self.settings, {})
        return claim_rows(self.values, self.settings.intervals, {}).set_index("fraction")

    @property
    def cost(self) -> float:
        """Return the share of all scores that was measured."""
        asked = 4 + self.settings.draws
        return float(self.values.notnull().sum()) / (self.values.sizes["query"] * asked * self.values.sizes["fraction"])

    def _value_of(self, group: int, chosen: Chosen) -> Float[np.ndarray, "query 1"]:
        how, draw, fraction = chosen
        self.measured.append((group, chosen))
        members = self.values[GROUP].values == group if GROUP in self.values.coords else slice(None)
        return self.scores[members][:, HOWS.index(how), draw, self.settings.fractions.index(fraction)]


def planted(
    random: np.random.Generator,
    settings: NeuronAblationSettings,
    harms: Mapping[str, Float[np.ndarray, "fraction"] | float],
    *,
    queries: int = 150,
    spread: float = 0.03,
) -> PlantedStudy:
    """Return a study in which every set has a harm of its own (sd `spread`), alike for all queries, and more by name.

    Args:
        harms: "top", "largest" -> what they harm more, by fraction; "same": any value makes the largest be the top.
    """
    fractions, draws = settings.fractions, settings.draws
    harm = spread * random.standard_normal((2 + draws, len(fractions)))
    harm[0] = harm[1] if "same" in harms else harm[0]
    harm[0] += harms.get("top", 0.0)
    harm[1] += harms.get("largest", 0.0)
    query = 0.3 * random.standard_normal((queries, 1, 1))
    found = 0.6 + query + 0.15 * random.standard_normal((queries, *harm.shape)) - harm
    scores = np.full((queries, len(HOWS), draws, len(fractions), 1), np.nan)
    for how in ("top", "signed", "bottom"):
        scores[:, HOWS.index(how), 0, :, 0] = found[:, 0]
    scores[:, HOWS.index("largest"), 0, :, 0] = found[:, 1]
    scores[:, HOWS.index("random"), :, :, 0] = found[:, 2:]
    labels = {"query": [f"q{i}" for i in range(queries)], "how": list(HOWS), "draw": list(range(draws)),
              "fraction": list(fractions), "measure": ["RR@10"]}  # fmt: skip
    values = xr.DataArray(np.full(scores.shape, np.nan), labels, tuple(labels))
    if settings.groups > 1:
        values = values.assign_coords({GROUP: ("query", np.sort(np.arange(queries) % settings.groups))})
    return PlantedStudy(scores, values, settings)


FEW = IntervalSettings(resamples=100)


def asked(*fractions: float, groups: int = 3, draws: int = 5) -> NeuronAblationSettings:
    """Return settings of a quick study."""
    return NeuronAblationSettings(fractions=fractions, groups=groups, draws=draws, measures=("RR@10",), intervals=FEW)
