"""Compare the top neurons of two retrievers by their overlap, and estimate the largest overlap to expect (ceiling).

The top neurons of one retriever differ between two samples of examples. The overlap between random halves of one
retriever's examples is therefore the ceiling of the overlap between two retrievers. Halves are noisier than all
examples, so the overlap between the retrievers (`between`) is measured on halves, too. Half 0 of the first retriever is
compared with half 1 of the second, and the reverse. These halves share no example, because shared examples have
correlated errors: two retrievers could then agree better than one retriever with itself. For two equal retrievers,
`between` equals the ceiling (`before_halves`, `after_halves`). `whole` is the overlap of the means over all examples.
It is usually higher than `between` and has no ceiling.

The examples are split into halves only once, so the ceiling depends on this random split.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.top_neurons.selection import TOP, how_many
from retroscope.errors import AnalysisError, SettingsError, listed, unknown_name

BY = {"signed": ("signed", "half_signed"), "share": ("share", "half_share")}  # -> variables of wholes and halves
MEASURES = ("jaccard", "spearman")
ALL = 0  # the layer of rows over all layers; layers count from 1
EVERY_PART = "all"

NeuronValues = Float[np.ndarray, "neuron"]
Halves = Float[np.ndarray, "half neuron"]


@dataclass(frozen=True, eq=False)
class Overlap:
    """Overlap of the top neurons of two attributions, by FFN matrix and layer, and overall.

    Attributes:
        table: a row for every FFN matrix (`part`, "all" for all together), layer (0 for all together) and measure
            ("jaccard", "spearman"). Columns: `part`, `layer`, `measure`, `neurons`, `between` (one retriever on one
            half of the examples, the other on the other half), `before_halves` and `after_halves` (the ceilings),
            `whole` (means over all examples), and `chance` (the expected overlap of random sets). An overlap is NaN if
            all values are equal, or if the last neuron of a top set ties with the next one.
        by: values by which neurons are ranked, "signed" or "share".
        top: how many neurons are top neurons, as a share of all.
    """

    table: pd.DataFrame
    by: str
    top: float


def overlap(before: NeuronAttribution, after: NeuronAttribution, *, by: str = "share", top: float = TOP) -> Overlap:
    """Compare two attributions: Jaccard index of top neurons, rank correlation of all neurons, by layer and overall.

    Args:
        by: values by which neurons are ranked: "signed" (mean signed value) or "share" (mean of the magnitude over the
            example's largest magnitude).
        top: how many neurons are top neurons, as a share of all; at least one neuron.

    Raises:
        SettingsError: if `by` is unknown, or `top` is not between 0 and 1.
        AnalysisError: if the two attributions differ in examples, halves or shapes.
    """
    if by not in BY:
        raise unknown_name("ranking", by, BY)
    if not 0 < top < 1:
        raise SettingsError(
            f"top is {top}, which is out of range", fix="give a share of the neurons between 0 and 1, e.g. top=0.01"
        )
    _check_comparable(before, after)
    rows = []
    for (part, layer, *before_values), (_, _, *after_values) in zip(
        _groups(before, by), _groups(after, by), strict=True
    ):
        for measure in MEASURES:
            rows.append(
                {"part": part, "layer": layer, "measure": measure, **_row(measure, before_values, after_values, top)}
            )
    return Overlap(pd.DataFrame(rows), by, top)


def _row(measure: str, one: list[np.ndarray], two: list[np.ndarray], top: float) -> dict[str, float]:
    (whole, halves), (other_whole, other_halves) = one, two
    n = len(whole)
    k = how_many(top, n)

    def agree(a: NeuronValues, b: NeuronValues) -> float:
        return jaccard(a, b, k) if measure == "jaccard" else rank_correlation(a, b)

    return {
        "neurons": n,
        "between": (agree(halves[0], other_halves[1]) + agree(halves[1], other_halves[0])) / 2,
        "before_halves": agree(*halves),
        "after_halves": agree(*other_halves),
        "whole": agree(whole, other_whole),
        "chance": chance_jaccard(n, k) if measure == "jaccard" else 0.0,
    }


def jaccard(one: NeuronValues, two: NeuronValues, k: int) -> float:
    """Compute the Jaccard index (intersection over union) of the neurons with the `k` largest values in each array.

    It is NaN if the k-th and the next value of an array are equal, because its top set is then undefined.
    """
    sets = []
    for values in (one, two):
        order = np.argsort(-values, kind="stable")
        undefined = not np.isfinite(values).all() or (k < len(values) and values[order[k - 1]] == values[order[k]])
        if undefined:
            return float("nan")
        sets.append(set(order[:k].tolist()))
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def rank_correlation(one: NeuronValues, two: NeuronValues) -> float:
    """Compute Spearman's correlation, with mean ranks for ties. It is NaN if all values of one array are equal."""
    if not (np.isfinite(one).all() and np.isfinite(two).all() and np.ptp(one) > 0 and np.ptp(two) > 0):
        return float("nan")
    return float(stats.spearmanr(one, two).statistic)


def chance_jaccard(n: int, k: int) -> float:
    """Return the expected Jaccard index of two random sets of k among n: E[m / (2k - m)], m hypergeometric."""
    shared = np.arange(k + 1)
    return float((stats.hypergeom(n, k, k).pmf(shared) * shared / (2 * k - shared)).sum())


def _groups(attribution: NeuronAttribution, by: str) -> Iterator[tuple[str, int, NeuronValues, Halves]]:
    """Yield (FFN matrix, layer, values, values by half) for every group of neurons that is compared.

    The groups are each layer of an FFN matrix, all its layers together (layer 0), and all neurons (matrix "all").
    """
    whole, halves = BY[by]
    parts = []
    for part, table in attribution.neurons.items():
        values = table[whole].transpose("layer", "neuron").values
        by_half = table[halves].transpose("half", "layer", "neuron").values
        for row, layer in enumerate(table["layer"].values.tolist()):
            yield part, int(layer), values[row], by_half[:, row]
        parts.append((values.reshape(-1), by_half.reshape(len(by_half), -1)))
        yield part, ALL, *parts[-1]
    if len(parts) > 1:
        yield (
            EVERY_PART,
            ALL,
            np.concatenate([values for values, _ in parts]),
            np.concatenate([by_half for _, by_half in parts], 1),
        )


def _check_comparable(before: NeuronAttribution, after: NeuronAttribution) -> None:
    shapes = [
        {part: dict(t["mean"].sizes) for part, t in attribution.neurons.items()} for attribution in (before, after)
    ]
    if shapes[0] != shapes[1]:
        raise AnalysisError(
            f"the two attributions cover different neurons: {shapes[0]} and {shapes[1]}",
            fix="attribute two models of the same architecture, with the same `parts`",
        )
    ids = [attribution.scores.query_ids for attribution in (before, after)]
    if ids[0] != ids[1]:
        lost = sorted({*ids[0]} ^ {*ids[1]})
        raise AnalysisError(
            f"these examples are in only one of the two attributions:{listed(lost)}"
            if lost
            else "the two attributions have the same examples in different orders",
            fix="attribute both models on the same collection with the same settings",
        )
    seeds = [attribution.recipe.get("seed") for attribution in (before, after)]
    if seeds[0] != seeds[1]:
        raise AnalysisError(
            f"the two attributions drew their halves of the examples with different seeds: {seeds[0]} and {seeds[1]}",
            fix="attribute both models with the same seed, because halves drawn with different seeds share examples",
        )
