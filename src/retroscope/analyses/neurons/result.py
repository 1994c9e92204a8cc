"""Results about neurons: their attribution, their ablation, and the comparison of two models. No torch."""

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
        value: value of a neuron. "share" is its mean share over examples; the share is the magnitude of its
            attribution, divided by the largest magnitude in the example. A threshold, e.g. 0.1, gives the proportion of
            examples in which its share is at least this threshold.
        bins: number of bins along the neurons of a layer. Bin i of B holds neurons floor(i n / B) to floor((i + 1) n /
            B) - 1.
        within: value of a bin: the "mean" or the "max" of its neurons.
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
    """How an ablation was run, as JSON-like values: how neurons are chosen, their fixed value, and what is searched.

    "neurons" is how many neurons were ranked, in "layers" layers: by the quantity "by" and, for a second curve, by
    "beside". Of "of_queries" queries, "queries" were measured; the attribution had used "attributed_queries" of these.
    "pools" and "groups" are how many passages and queries each group has. `ablation_curves` sets every key.
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
    """Retrieval as a function of the fraction of the neurons that are fixed.

    Attributes:
        scores: array with the dimensions `ABLATED`. `how` names the fixed neurons: "top", "largest" (see
            `attribution.size_ranking`), "bottom", "random", or the second ranking (e.g. "signed": as many neurons of
            each layer as in the top, with the largest signed attribution). Only "random" has several draws; the scores
            of all other sets are at draw 0, and NaN at the other draws.
        intact: scores of the intact model, (query, measure).
        table: a row for each fraction and measure, with at least `TABLE_COLUMNS` (see `ablation.table.curve_table`).
            `harm` is the loss by fixing the top neurons minus the mean loss by fixing random neurons.
            `harm_over_largest` is the loss by fixing the top neurons minus the loss by fixing the largest neurons. Both
            have an interval over queries and a test. `confirmed` is true if fixing the top neurons costs significantly
            more than fixing random neurons and than fixing the largest neurons (`p_confirmed`, Holm-corrected over the
            fractions, for each measure). `neurons` is the number of fixed neurons, and `layers` the number of layers
            that contain them. `shared_by_chance` is the share of the top neurons that a random set is expected to
            contain, and `shared_with_largest` the share of the top neurons that are also among the largest.
        areas: a row for each measure and each `how` except "random", with the columns `AREA_COLUMNS`: the area between
            the mean curve of the random sets and the curve of `how`, over log10 of the fraction, with its interval over
            queries. The area is positive if fixing the neurons of `how` harms retrieval more than fixing random ones.
        recipe: how the neurons were selected, the value at which they were fixed, and the searched sample.
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
        """Return the names of the retrieval measures, the headline measure first."""
        return tuple(str(m) for m in self.scores.values.coords["measure"].values)

    @property
    def fractions(self) -> tuple[float, ...]:
        """Return the fractions of the neurons that were ablated, in rising order."""
        return tuple(float(f) for f in self.scores.values.coords["fraction"].values)

    @property
    def of_headline(self) -> pd.DataFrame:
        """Return the rows of `table` for the headline measure, which is the first."""
        return self.table[self.table["measure"] == self.measures[0]]

    def fractions_where(self, claim: str) -> tuple[float, ...]:
        """Return the fractions of the neurons at which a claim holds for the headline measure, in rising order.

        Args:
            claim: "over_random" or "confirmed" (more harm than by random neurons, or than by both controls).
        """
        rows = self.of_headline
        return tuple(sorted(float(f) for f in rows.loc[rows[claim].astype(bool), "fraction"]))

    @property
    def harms(self) -> bool:
        """Return whether fixing the top neurons harms retrieval significantly more than both controls at some fraction.

        The controls are random neurons and the largest neurons. The p-values are corrected over the fractions.
        """
        return bool(self.fractions_where("confirmed"))

    @property
    def choosing_queries(self) -> int:
        """Return how many queries of the ablation the attribution had also used."""
        return self.recipe.get("attributed_queries", 0)

    @property
    def confirms(self) -> bool:
        """Return whether `harms` is true and the attribution used none of the queries of the ablation."""
        return self.harms and not self.choosing_queries


@dataclass(frozen=True, eq=False)
class AttributedModel:
    """The neurons of one model: their attribution, and the ablation that tests it.

    Attributes:
        name: name of the model.
        attribution: attribution of every neuron of one tower.
        ablation: retrieval with the top neurons of this attribution fixed, or None if no ablation was run.
    """

    name: str
    attribution: NeuronAttribution
    ablation: AblationCurves | None = None

    @property
    def recipe(self) -> AttributionRecipe:
        """Return how the neurons were attributed: model, texts, method, quadrature and numerical error."""
        return self.attribution.recipe


@dataclass(frozen=True, eq=False)
class TowerNeurons:
    """Results about the neurons of one encoder (tower), query or passage, in one model or in two compared models.

    Attributes:
        sides: role of the model ("before" and "after", or "model" for a single model) -> its neurons.
        profile: the difference after - before of the attributions' scores, paired by query; None for a single model.
        overlap: agreement of both models' neurons, with the columns `OVERLAP_COLUMNS`; None if it was not measured. The
            `measure` is "jaccard" (of the sets of top neurons) or "spearman" (of the ranks of all neurons). `between`
            compares the two models, each on a different random half of the examples. `before_halves` and `after_halves`
            compare the two halves of one model; they are the ceilings of `between`. `whole` compares the two models on
            all examples, and has no ceiling. `chance` is the agreement to expect by chance. Layer 0 stands for all
            layers together, and part "all" for all FFN matrices.
        heat_map: the layout of the heat maps.
        label: name of the tower ("query" or "passage") if the report has both towers, or else "".
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
        """Return the attribution of each model by the model's role, e.g. "before" (fine-tuning)."""
        return {name: side.attribution for name, side in self.sides.items()}

    @property
    def ablations(self) -> Mapping[str, AblationCurves]:
        """Return the ablation curves of every model that has some, by the model's role, e.g. "before" (fine-tuning)."""
        return {name: side.ablation for name, side in self.sides.items() if side.ablation is not None}

    @property
    def is_alone(self) -> bool:
        """Return whether there is a single model, without a comparison."""
        return list(self.sides) == [MODEL]

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the kinds of FFN matrices, e.g. "intermediate", whose neurons were attributed in every model."""
        by_model = [attribution.parts for attribution in self.attributions.values()]
        return tuple(part for part in by_model[0] if all(part in parts for parts in by_model))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Return the activity thresholds at which every model's active neurons were counted."""
        by_model = [attribution.thresholds for attribution in self.attributions.values()]
        return tuple(t for t in by_model[0] if all(t in thresholds for thresholds in by_model))


@dataclass(frozen=True, eq=False)
class NeuronResult:
    """Results about the neurons of the query encoder, the passage encoder, or both (towers).

    Attributes:
        towers: name of the tower ("passage", "query") -> its neurons. The report begins with the first.
    """

    towers: Mapping[str, TowerNeurons]

    @property
    def main(self) -> TowerNeurons:
        """Return the results about the first encoder (tower), with which the report begins."""
        return next(iter(self.towers.values()))


def nearest(threshold: float, known: Iterable[float]) -> int | None:
    """Return the index of the known threshold that equals `threshold` up to rounding (`WRITTEN`), or None."""
    places = list(known)
    if not places:
        return None
    best = min(range(len(places)), key=lambda i: abs(places[i] - threshold))
    return best if math.isclose(places[best], threshold, rel_tol=WRITTEN) else None


def _demand_recipe(what: str, recipe: Mapping[str, object], names: Sequence[str]) -> None:
    missing = [name for name in names if name not in recipe]
    if missing:
        raise AnalysisError(
            f"the recipe of the {what} lacks the fields {', '.join(missing)}",
            where="AblationCurves",
            fix="run the neuron ablation again",
        )
