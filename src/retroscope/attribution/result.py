"""Result of an attribution: statistics of each example, and means of each neuron over examples.

This module does not import torch.
"""

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
    """Return the name of the statistic that counts active neurons, e.g. "active@0.1".

    It is the share of an FFN matrix's neurons whose magnitude is at least `threshold` times the example's largest.
    """
    return f"{ACTIVE}{threshold:g}"


class AttributionCounts(TypedDict):
    """How many examples, texts, tokens and batches an attribution has, and how many bytes of memory it needs."""

    examples: int
    texts: int
    tokens: int
    batches: int
    rows_at_once_tokens: int
    bytes: int


class AttributionRecipe(TypedDict, total=False):
    """How an attribution was computed, as JSON-like values: model, texts, settings, and numerical error.

    "row_tokens" is how many padded tokens ran through the network at once. The keys "f_..." describe the attributed
    scalar F. The keys "gap_..." and "completeness" describe the error of the path integral (None for a method without
    completeness). The result of `attribute_neurons` has every key except "negative". A study adds "negative", which
    tells how the negatives that both models share were chosen.
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
    """Attribution of every neuron of one retriever's query encoder or passage encoder (tower).

    Attributes:
        scores: statistics of each example, with the dimensions (query, statistic, part, layer). `part` is the FFN
            matrix, and `layer` the layer of its block, 1..L. For the target `norm`, a `query` is a text. Gaps, shares
            and concentration are NaN for noise, i.e. examples whose F varies only within rounding errors. All
            statistics are NaN for examples with a value that is not finite. The coordinates `positive` (`score`,
            `margin`) and `negative` (`margin`) are the ids of the relevant passage and of the negative that define F of
            a query. `Scores.passages` has both.
        neurons: FFN matrix -> data set with the dimensions (layer, neuron). Its variables are means over examples:
            `mean` (of magnitudes), `signed` (of signed values) and `share` (of shares: magnitude over the example's
            largest magnitude at any site). `count` is in how many examples the share is at least the `threshold`.
            `share_quantile` are quantiles of the share over examples. `half_signed` and `half_share` are the means over
            each of two random halves of the examples (`half` 0 and 1).
        examples: how many examples were attributed.
        noise: how many of them have an F that varies only within rounding errors. They have no shares.
        recipe: how the attribution was computed.
        warnings: reasons to doubt the result.
        noise_warned: whether one of the warnings is about examples that are noise.
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
        """Return the thresholds above which a neuron counts as active, in rising order."""
        return tuple(self.activities)

    @property
    def activities(self) -> dict[float, int]:
        """Return, for each threshold in rising order, the index of its statistic "active@..." in `scores`."""
        names = [str(name) for name in self.scores.values.coords["statistic"].values]
        thresholds: dict[float, int] = {}
        for place, name in enumerate(names):
            if name.startswith(ACTIVE):
                thresholds.setdefault(float(name.removeprefix(ACTIVE)), place)
        return dict(sorted(thresholds.items()))
