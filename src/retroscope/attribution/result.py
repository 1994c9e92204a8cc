"""Result of an attribution: a row of statistics for each example, and a row of aggregates for each neuron. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import xarray as xr

from retroscope.encoders.recipe import RecipeFacts
from retroscope.errors import AnalysisError
from retroscope.scores import QUERY, Scores

# Statistics of an example at one site; `active@T` is there for every threshold T.
CHANGE = "change"  # F(1) - F(0)
TOTAL = "total"  # sum of magnitudes
SIGNED = "signed"  # sum of signed values: `change` where the integral is complete
GAP = "gap"  # |signed - change| over the signed values' sizes, of what the method is complete over; NaN: of nothing
NODES = "nodes"  # evaluations of the gradient
GINI = "gini"
PARTICIPATION = "participation"
TOP_SHARE = "top_1%"
STATISTICS = (CHANGE, TOTAL, SIGNED, GAP, NODES, GINI, PARTICIPATION, TOP_SHARE)

ACTIVE = "active@"  # followed by a threshold
DIMS = (QUERY, "statistic", "part", "layer")  # of the scores

# Aggregates of a neuron, in the order of tables.
AGGREGATES = ("mean", "signed", "share", "count", "half_signed", "half_share", "share_quantile")


def active(threshold: float) -> str:
    """Return the name of the statistic "share of a site's neurons that are active at this threshold"."""
    return f"{ACTIVE}{threshold:g}"


class AttributionCounts(TypedDict):
    """Numbers of a planned attribution: examples, texts, tokens, batches and bytes."""

    examples: int
    texts: int
    tokens: int
    batches: int
    rows_at_once_tokens: int
    bytes: int


class AttributionRecipe(TypedDict, total=False):
    """Protocol of an attribution as JSON-like values: model, texts, settings, and numerical error.

    "row_tokens" padded tokens run at once. The keys "f_..." are about the attributed scalar. "gap_..." and
    "completeness" are about the error of its integral (None for a method without completeness). The result of
    `attribute_neurons` has every key except "negative", which says how a study shared the negatives of two models.
    """

    model: str
    fingerprint: str
    recipe: RecipeFacts
    method: str
    target: str
    tower: str
    quadrature: str
    parts: list[str]
    thresholds: list[float]
    negatives: int | None
    negative: str
    batch_size: int | None
    padding_pooled: bool
    precision: str
    seed: int
    agreement: float | None
    examples: int
    device: str
    f_mean: float | None
    f_deviation: float | None
    f_variation: float | None
    gap_median: float | None
    gap_largest: float | None
    gap_judged: float | None
    gap_site: str | None
    completeness: dict[str, dict[str, list[float | None]]]
    row_tokens: int
    precision_effect: float | None
    agreement_reached: float | None
    lost: int


@dataclass(frozen=True, eq=False)
class NeuronAttribution:
    """Attribution of every neuron of one retriever's tower.

    Attributes:
        scores: array with the dimensions (query, statistic, part, layer). Layer 1..L is the output of the site's block.
            With the target `norm`, a `query` is a text. Gaps, shares and concentration are NaN for examples that are
            noise; for examples with values that are not finite, everything is NaN. The coordinate `positive` (targets
            `score` and `margin`) names the relevant passage that each query was attributed with, `negative` (`margin`)
            its hardest negative. `Scores.passages` has both.
        neurons: part -> data set over (layer, neuron):
            `mean` magnitude, `signed` mean, `share` (mean of magnitude / the example's largest over all sites),
            `count` over `threshold` (examples in which the share is at least that; integer),
            `share_quantile` over `quantile`, and `half_signed`, `half_share`: means of the signed value and of the
            share over `half` (0, 1: two random halves of the examples).
        examples: number of attributed examples. `noise` of them were not normalised and do not count in shares.
        recipe: how the attribution was computed.
        warnings: reasons not to trust it.
        noise_warned: whether a warning says how many examples are noise.
    """

    scores: Scores
    neurons: Mapping[str, xr.Dataset]
    examples: int
    noise: int
    recipe: AttributionRecipe = field(default_factory=lambda: AttributionRecipe())
    warnings: tuple[str, ...] = ()
    noise_warned: bool = False

    def __post_init__(self) -> None:
        if self.scores.values.dims != DIMS:
            raise AnalysisError(
                f"neuron scores need the dimensions {DIMS}, got {self.scores.values.dims}",
                where=self.scores.name,
                fix=f"transpose the array of scores: values.transpose{DIMS}",
            )

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the FFN matrices whose neurons were attributed."""
        return tuple(self.neurons)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Return the thresholds at which active neurons were counted, in rising order."""
        return tuple(self.activities)

    @property
    def activities(self) -> dict[float, int]:
        """Map each threshold to the index of its activity among the statistics."""
        names = [str(name) for name in self.scores.values.coords["statistic"].values]
        thresholds: dict[float, int] = {}
        for place, name in enumerate(names):
            if name.startswith(ACTIVE):
                thresholds.setdefault(float(name.removeprefix(ACTIVE)), place)
        return dict(sorted(thresholds.items()))
