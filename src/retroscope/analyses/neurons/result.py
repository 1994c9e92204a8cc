"""Result about neurons: the attribution of one model, or of two paired by query, tower by tower. No torch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import pandas as pd

from retroscope.attribution.result import AttributionRecipe, NeuronAttribution
from retroscope.encoders.precision import EffectFacts
from retroscope.errors import AnalysisError, SettingsError, demand_columns, unknown_name
from retroscope.inputs.sampled import SampleRow
from retroscope.scores import QUERY, Scores
from retroscope.statistics import Difference
from retroscope.typesetting.subject import MODEL

SHARE, COUNT, THRESHOLD = "share", "count", "threshold"  # of the data sets of neurons
ABLATED = (QUERY, "how", "draw", "fraction", "measure")
TOP, BOTTOM, RANDOM = "top", "bottom", "random"  # sets of neurons, by how they are chosen
LARGEST = "largest"  # the control that knows neither gradient nor query
REFERENCE = 0.01  # where nothing is confirmed the report shows the ablated share nearest to this one
TABLE_COLUMNS = ("fraction", "measure", "neurons", "layers", "n", "draws", "intact", "top", LARGEST, "bottom", "random",
                 "harm", "harm_low", "harm_high", "harm_over_largest", "harm_over_largest_low",
                 "harm_over_largest_high", "below_every_draw", "p", "p_queries", "p_draws", "p_largest",
                 "p_over_random", "p_confirmed", "over_random", "confirmed", "shared_by_chance",
                 "shared_with_largest")  # fmt: skip
AREA_COLUMNS = ("how", "measure", "area", "area_low", "area_high")
OVERLAP_COLUMNS = ("part", "layer", "measure", "neurons", "between", "before_halves", "after_halves", "whole", "chance")
WITHIN = ("mean", "max")
WRITTEN = 1e-5  # relative; a number with six significant digits is nearer than that to what it stands for


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """Layout of a heat map of neurons: the value that is drawn, and the bins of neighbouring neurons.

    Attributes:
        value: value of a neuron: "share" (mean over examples of its magnitude / the example's largest), or a threshold:
            the part of the examples in which that share is at least the threshold.
        bins: number of bins along the neurons of a layer. Bin i of B holds neurons floor(i n / B) to floor((i + 1) n /
            B) - 1.
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
            raise SettingsError(f"the heat map has {self.bins} bins", fix="give at least 1 bin")


# The layout of arXiv 2505.07166, with the neurons that its own binning leaves out (those after 10 floor(n / 10)).
PUBLISHED = HeatMap(value=0.1, bins=10, within="max")


class AblationRecipe(TypedDict, total=False):
    """Protocol of an ablation as JSON-like values: how neurons are chosen, their fixed value, and what is searched.

    "neurons" were ranked `by` one quantity, and by `beside` for the second curve. They lie in `layers` layers. Of
    `of_queries` queries, `queries` were measured, of which the attribution used `attributed_queries`. The result of
    `ablation_curves` has every key.
    """

    attribution: AttributionRecipe
    by: str
    beside: str
    parts: list[str]
    neurons: int
    layers: int
    fractions: list[float]
    fixed_at: str
    precision: str
    draws: int
    seed: int
    level: float
    collection: str
    queries: int
    of_queries: int
    held_out: bool
    attributed_queries: int
    passages: int
    of_passages: int
    pools: list[int]
    groups: list[int]
    sample: list[SampleRow]
    towers: list[str]
    precision_effect: EffectFacts | None


@dataclass(frozen=True, eq=False)
class AblationCurves:
    """Retrieval as a function of the share of neurons that are fixed.

    Attributes:
        scores: array with the dimensions `ABLATED`. `how` is "top", the name of the second ranking (e.g. "signed": the
            neurons with its largest values in the same layers), "largest" (see `attribution.size_ranking`), "bottom" or
            "random". Only "random" has several draws. The others have draw 0, and NaN elsewhere.
        intact: scores of the intact model, (query, measure).
        table: a row for each fraction and measure, with at least `TABLE_COLUMNS` (see `ablation.table.curve_table`).
            `harm` is the loss by fixing the top neurons minus the mean loss by fixing random neurons.
            `harm_over_largest` is the loss by fixing the top neurons minus the loss by fixing the largest neurons. Both
            have an interval over queries and a test. `confirmed` is true if fixing the top neurons costs significantly
            more than fixing random neurons and than fixing the largest neurons (`p_confirmed`, Holm-corrected over the
            fractions, for each measure). `neurons` is the number of fixed neurons, and `layers` the number of layers
            that contain them. `shared_by_chance` is the expected share of the top neurons in a random set, and
            `shared_with_largest` their share among the largest.
        areas: a row for each measure and each `how` except "random", with the columns `AREA_COLUMNS`: the area between
            the curve `how` and the mean random curve above it, over log10 of the fraction, with its interval over
            queries. The area is positive if the neurons of `how` harm retrieval more than random neurons.
        recipe: the selection of the neurons, the value at which they were fixed, and the searched sample.
        warnings: reasons to doubt the ablation.
    """

    scores: Scores
    intact: Scores
    table: pd.DataFrame
    areas: pd.DataFrame
    recipe: AblationRecipe = field(default_factory=lambda: AblationRecipe())
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.scores.values.dims != ABLATED:
            raise AnalysisError(
                f"ablation scores need the dimensions {ABLATED}, got {self.scores.values.dims}",
                where=self.scores.name,
                fix=f"transpose the array of scores: values.transpose{ABLATED}",
            )
        demand_columns("table", self.table, TABLE_COLUMNS, where="AblationCurves")
        _demand_recipe("ablation", self.recipe, ("beside", "layers", "level"))
        demand_columns("areas", self.areas, AREA_COLUMNS, where="AblationCurves")

    @property
    def measures(self) -> tuple[str, ...]:
        """Return the measures of retrieval. The statements use the first measure."""
        return tuple(str(m) for m in self.scores.values.coords["measure"].values)

    @property
    def fractions(self) -> tuple[float, ...]:
        """Return the fractions of the neurons that were ablated, in rising order."""
        return tuple(float(f) for f in self.scores.values.coords["fraction"].values)

    @property
    def of_headline(self) -> pd.DataFrame:
        """Return the rows of the headline measure."""
        return self.table[self.table["measure"] == self.measures[0]]

    def fractions_where(self, claim: str) -> tuple[float, ...]:
        """Return the fractions at which a claim ("confirmed", "over_random") holds, in rising order."""
        rows = self.of_headline
        return tuple(sorted(float(f) for f in rows.loc[rows[claim].astype(bool), "fraction"]))

    @property
    def harms(self) -> bool:
        """Return whether, at some fraction, fixing the top neurons costs more than fixing random or the largest
        neurons.

        The p-values are corrected over the fractions (see `ablation.table.curve_table`).
        """
        return bool(self.fractions_where("confirmed"))

    @property
    def choosing_queries(self) -> int:
        """Count the measured queries that the attribution used."""
        return self.recipe.get("attributed_queries", 0)

    @property
    def confirms(self) -> bool:
        """Return whether `harms` holds and the attribution used none of the measured queries."""
        return self.harms and not self.choosing_queries


@dataclass(frozen=True, eq=False)
class AttributedModel:
    """The neurons of one model.

    Attributes:
        name: name of the model.
        attribution: attribution of every neuron of one tower.
        ablation: ablation of the neurons that the attribution names, or None if no ablation was run.
    """

    name: str
    attribution: NeuronAttribution
    ablation: AblationCurves | None = None

    @property
    def recipe(self) -> AttributionRecipe:
        """Return the recipe of the attribution: model, texts, method, quadrature and numerical error."""
        return self.attribution.recipe


@dataclass(frozen=True, eq=False)
class TowerNeurons:
    """The neurons of one tower, of one model or two.

    Attributes:
        sides: "before" and "after", or "model" for a model alone.
        profile: the paired difference of both sides' scores, or None for one side.
        overlap: table with the columns `OVERLAP_COLUMNS`: the agreement of sets ("jaccard") or ranks ("spearman") of
            neurons. The table compares halves of the two sides that share no example, the halves of one side (the
            ceilings), and the means over all examples (`whole`, which has no ceiling). The last column is the agreement
            by chance. Layer 0 stands for all layers together, and part "all" for all parts.
        heat_map: the layout of the heat maps.
        label: "query" or "passage" if the report has both, or else empty.
    """

    sides: Mapping[str, AttributedModel]
    profile: Difference | None = None
    overlap: pd.DataFrame | None = None
    heat_map: HeatMap = HeatMap()
    label: str = ""

    def __post_init__(self) -> None:
        if self.profile is None and len(self.sides) != 1:
            raise AnalysisError(
                f"`sides` has {len(self.sides)} models, but their paired difference (`profile`) is None",
                where="TowerNeurons",
                fix="give the paired difference of their scores as `profile`, or a single model in `sides`",
            )
        if self.overlap is not None:
            demand_columns("overlap", self.overlap, OVERLAP_COLUMNS, where="TowerNeurons")
        value = self.heat_map.value
        if not isinstance(value, str) and nearest(value, self.thresholds) is None:
            raise unknown_name("threshold of the heat map", f"{value:g}", [f"{t:g}" for t in self.thresholds])

    @property
    def attributions(self) -> Mapping[str, NeuronAttribution]:
        """Map the model role ("before", "after") to its attribution."""
        return {name: side.attribution for name, side in self.sides.items()}

    @property
    def ablations(self) -> Mapping[str, AblationCurves]:
        """Map the model role to its ablation curves, for the models that were ablated."""
        return {name: side.ablation for name, side in self.sides.items() if side.ablation is not None}

    @property
    def is_alone(self) -> bool:
        """Return whether there is a single model, without a comparison."""
        return list(self.sides) == [MODEL]

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the FFN matrices whose neurons were attributed in every model."""
        kept = [attributions.parts for attributions in self.attributions.values()]
        return tuple(part for part in kept[0] if all(part in others for others in kept))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Return the activity thresholds that every model's attribution counted."""
        kept = [attributions.thresholds for attributions in self.attributions.values()]
        return tuple(t for t in kept[0] if all(t in others for others in kept))


@dataclass(frozen=True, eq=False)
class NeuronResult:
    """The neurons of every tower.

    Attributes:
        towers: "passage" and "query", or one of them. The main one comes first.
    """

    towers: Mapping[str, TowerNeurons]

    @property
    def main(self) -> TowerNeurons:
        """Return the neurons of the main tower."""
        return next(iter(self.towers.values()))


def nearest(threshold: float, known: Iterable[float]) -> int | None:
    """Return the index of a threshold among the known ones, equal to six digits, or None if it is unknown."""
    places = list(known)
    if not places:
        return None
    best = min(range(len(places)), key=lambda i: abs(places[i] - threshold))
    return best if math.isclose(places[best], threshold, rel_tol=WRITTEN) else None


def _demand_recipe(what: str, recipe: Mapping[str, object], names: Sequence[str]) -> None:
    lost = [name for name in names if name not in recipe]
    if lost:
        raise AnalysisError(
            f"the recipe of the {what} lacks the fields {', '.join(lost)}",
            where="AblationCurves",
            fix="run the neuron ablation again",
        )
