"""What a report says about neurons: the attribution of one retriever, or of two paired by query.

The study room fills it. The names of the statistics are those of the attribution room, which this
room does not import.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import xarray as xr

from retroscope.errors import AnalysisError, SettingsError, unknown_name
from retroscope.scores import QUERY, Scores
from retroscope.statistics import Difference

SINGLE = "model"  # the side of a retriever that is reported alone
TOTAL, GAP, GINI, PARTICIPATION, TOP_SHARE = "total", "gap", "gini", "participation", "top_1%"
NODES = "nodes"
ACTIVE = "active@"  # followed by a threshold
SHARE, COUNT, THRESHOLD = "share", "count", "threshold"  # of the data sets of neurons
DIMS = (QUERY, "statistic", "part", "layer")
ABLATED = (QUERY, "how", "draw", "fraction", "measure")
LARGEST = "largest"  # the control that knows neither gradient nor query
TABLE_COLUMNS = ("fraction", "measure", "neurons", "layers", "n", "intact", "top", LARGEST, "bottom", "random", "harm",
                 "harm_low", "harm_high", "harm_over_largest", "harm_over_largest_low", "harm_over_largest_high",
                 "below_every_draw", "p", "p_queries", "p_draws", "p_largest", "p_over_random", "p_confirmed",
                 "over_random", "confirmed", "shared_by_chance", "shared_with_largest")  # fmt: skip
AREA_COLUMNS = ("how", "measure", "area", "area_low", "area_high")
OVERLAP_COLUMNS = ("part", "layer", "measure", "neurons", "between", "before_halves", "after_halves", "whole", "chance")
WITHIN = ("mean", "max")
WRITTEN = 1e-5  # relative; a number with six significant digits is nearer than that to what it stands for


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """How neurons are put into the bins of a heat map; no neuron is left out.

    Attributes:
        value: of a neuron: "share" (mean over units of its magnitude / the unit's largest), or a threshold: the
            part of the units in which that share is at least so large.
        bins: along the neurons of a layer; bin i of B holds neurons floor(i n / B) to floor((i + 1) n / B) - 1.
        within: "mean" or "max" of the bin's neurons.
    """

    value: str | float = SHARE
    bins: int = 48
    within: str = "mean"

    def __post_init__(self) -> None:
        if self.within not in WITHIN:
            raise unknown_name("value of a bin", self.within, WITHIN)
        if isinstance(self.value, str) and self.value != SHARE:
            raise unknown_name("value of a neuron", self.value, (SHARE,))
        if self.bins < 1:
            raise SettingsError(f"a heat map of {self.bins} bins", fix="give at least 1")


# The layout of arXiv 2505.07166, with the neurons that its own binning leaves out (those after 10 floor(n / 10)).
PUBLISHED = HeatMap(value=0.1, bins=10, within="max")


@dataclass(frozen=True, eq=False)
class Ablation:
    """What happens to retrieval when neurons are held at one value.

    Attributes:
        scores: dimensions `ABLATED`, `how` being "top", the ranking shown beside it, "largest", "bottom" (these with
            draw 0 only) and "random".
        intact: dimensions (query, measure), nothing ablated.
        table: a row a fraction and measure, at least `TABLE_COLUMNS`: the `harm` of the top over that of the mean
            draw and over that of the largest, each with its interval over queries and its test, and whether both
            controls are beaten (`confirmed`, by `p_confirmed`, corrected over the fractions of a measure).
        areas: `AREA_COLUMNS`: by how much the curve `how` lies below the mean of the random ones, over log10 of the
            fraction, with its interval over queries: positive where it harms more.
        recipe: how neurons were ranked (`by`, and `beside` for the curve beside it), in how many `layers` they
            lie, and at what they were held (JSON-like).
        warnings: reasons not to trust it.
    """

    scores: Scores
    intact: Scores
    table: pd.DataFrame
    areas: pd.DataFrame
    recipe: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        demand_dims("ablation", self.scores, ABLATED)
        demand_columns("table of an ablation", self.table, TABLE_COLUMNS)
        demand_recipe("ablation", self.recipe, ("beside", "layers", "level"))
        demand_columns("table of areas between ablation curves", self.areas, AREA_COLUMNS)

    @property
    def measures(self) -> tuple[str, ...]:
        """By which retrieval was measured, the first being the one of the verdict."""
        return tuple(str(m) for m in self.scores.values.coords["measure"].values)

    @property
    def fractions(self) -> tuple[float, ...]:
        """Parts of the neurons that were ablated, rising."""
        return tuple(float(f) for f in self.scores.values.coords["fraction"].values)


@dataclass(frozen=True, eq=False)
class NeuronSide:
    """The attribution of one retriever.

    Attributes:
        model: its name.
        scores: dimensions `DIMS`.
        neurons: part -> data set over (layer, neuron): mean, signed, share, count over `threshold` ...
        units: units that were attributed; `noise` of them moved by no more than rounding.
        recipe: how it was made: target, tower, method, quadrature ...
        warnings: reasons not to trust it.
        ablation: None where none was run.
    """

    model: str
    scores: Scores
    neurons: Mapping[str, xr.Dataset]
    units: int
    noise: int
    recipe: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    ablation: Ablation | None = None

    def __post_init__(self) -> None:
        demand_dims("neuron", self.scores, DIMS)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Those at which activity was counted, as their statistics write them, rising."""
        return tuple(self.activities)

    @property
    def activities(self) -> dict[float, int]:
        """Threshold -> place of its activity among the statistics; the first of several that are written alike."""
        names = [str(name) for name in self.scores.values.coords["statistic"].values]
        found: dict[float, int] = {}
        for place, name in enumerate(names):
            if name.startswith(ACTIVE):
                found.setdefault(float(name.removeprefix(ACTIVE)), place)
        return dict(sorted(found.items()))


@dataclass(frozen=True, eq=False)
class NeuronFindings:
    """What was found about neurons.

    Attributes:
        sides: "before" and "after", or `SINGLE` for a retriever alone.
        profile: the paired difference of the sides' scores; None for one side.
        overlap: `OVERLAP_COLUMNS`: how far the sets ("jaccard") or ranks ("spearman") of neurons agree: between
            halves of the two sides that share no unit, between the halves of one side (the ceilings), between the
            means over all units (`whole`, which has no ceiling), and by chance. Layer 0 is all layers together,
            part "all" all parts.
        heat_map: the layout of the heat maps.
        tower: "query" or "passage", where the report holds both; else empty.
    """

    sides: Mapping[str, NeuronSide]
    profile: Difference | None = None
    overlap: pd.DataFrame | None = None
    heat_map: HeatMap = HeatMap()
    tower: str = ""

    def __post_init__(self) -> None:
        if self.profile is None and len(self.sides) != 1:
            raise AnalysisError(
                f"neurons of {len(self.sides)} sides without their difference",
                where="neuron findings",
                fix="give the paired difference of their scores as `profile`, or one side",
            )
        if self.overlap is not None:
            demand_columns("overlap of neurons", self.overlap, OVERLAP_COLUMNS)
        value = self.heat_map.value
        if not isinstance(value, str) and nearest(value, self.thresholds) is None:
            raise unknown_name("threshold of the heat map", f"{value:g}", [f"{t:g}" for t in self.thresholds])

    @property
    def parts(self) -> tuple[str, ...]:
        """The FFN matrices whose neurons were attributed, on every side."""
        kept = [set(side.neurons) for side in self.sides.values()]
        return tuple(part for part in next(iter(self.sides.values())).neurons if all(part in k for k in kept))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The thresholds of every side."""
        kept = [side.thresholds for side in self.sides.values()]
        return tuple(t for t in kept[0] if all(t in k for k in kept))


def nearest(threshold: float, known: Iterable[float]) -> int | None:
    """The place of the threshold among those known, written with six digits or all; None where it is not there."""
    places = list(known)
    if not places:
        return None
    best = min(range(len(places)), key=lambda i: abs(places[i] - threshold))
    return best if math.isclose(places[best], threshold, rel_tol=WRITTEN) else None


def demand_columns(what: str, frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """An error that names the columns which a frame lacks."""
    lost = [c for c in columns if c not in frame.columns]
    if lost:
        raise AnalysisError(f"the {what} lacks the columns {lost}", where="findings", fix=f"give it {list(columns)}")


def demand_recipe(what: str, recipe: Mapping[str, Any], names: Sequence[str]) -> None:
    """An error that names what a recipe does not record."""
    lost = [name for name in names if name not in recipe]
    if lost:
        raise AnalysisError(f"the recipe of the {what} lacks {lost}", where="findings", fix="run the ablation again")


def demand_dims(what: str, scores: Scores, dims: tuple[str, ...]) -> None:
    """An error where scores have other dimensions."""
    if scores.values.dims != dims:
        raise AnalysisError(
            f"{what} scores need the dimensions {dims}, got {scores.values.dims}",
            where=scores.name,
            fix="transpose them",
        )
