"""Summarise the completeness gaps of path integrals by site (one FFN matrix of one layer), and choose a site to judge.

A median over all sites can hide the site that matters: the lowest block may have most of the attribution and the
largest integration error, while the integrals of the other blocks are exact. A mean weighted by attribution can hide
it, too: a layer with the top neurons may have little of the total attribution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

WORST = 0.99  # the quantile of the examples' gaps that is reported with the median
MATTERS = 0.5  # of an even share: a site that holds less of its matrix's attribution and top neurons is not judged
ALWAYS = 0.1  # of its matrix's attribution or top neurons: a site that holds as much is judged in any model
TOP = 0.01  # of the neurons of a matrix, over all layers

UnitCells = Float[np.ndarray, "unit part layer"]
Sites = Float[np.ndarray, "part layer"]


@dataclass(frozen=True, eq=False)
class SiteGaps:
    """Completeness gaps of attributions by FFN matrix and layer (site), summarised over examples.

    A site where no example has a gap is NaN.

    Attributes:
        median: median of the gaps over examples.
        worst: quantile `WORST` of the gaps over examples.
        weight: the site's share of the total attribution of its FFN matrix over all layers, averaged over examples.
        top: the site's share of the top neurons of its FFN matrix over all layers; NaN if no neuron is ranked.
    """

    median: Sites
    worst: Sites
    weight: Sites
    top: Sites

    @property
    def judged(self) -> tuple[int, int] | None:
        """Return the indices (part, layer) of the site with the largest median gap, among those with a large share.

        A site has a large share if it has at least a tenth of the attribution, or of the top neurons, of its FFN matrix
        over all layers. With more than five layers, half of an even share (1 / number of layers) is enough. None if no
        such site has a gap.
        """
        least = min(MATTERS / self.weight.shape[1], ALWAYS)
        matter = ((self.weight >= least) | (self.top >= least)) & np.isfinite(self.median)
        if not matter.any():
            return None
        part, layer = np.unravel_index(np.where(matter, self.median, -np.inf).argmax(), self.median.shape)
        return int(part), int(layer)

    @property
    def weighted(self) -> Float[np.ndarray, "part"]:
        """Return the median completeness gaps averaged over layers, weighted by attribution, for each FFN matrix."""
        known = np.isfinite(self.median)
        weight = np.where(known, self.weight, 0.0)
        total = weight.sum(1)
        sums = (weight * np.where(known, self.median, 0.0)).sum(1)
        return _over(sums, total)


def site_gaps(gap: UnitCells, total: UnitCells, shares: Sequence[Float[np.ndarray, "layer neuron"]]) -> SiteGaps:
    """Summarise the completeness gaps of all examples for each FFN matrix and layer (site).

    An example whose gap is NaN does not count.

    Args:
        gap: |sum of the attributions - (F(1) - F(0))|, divided by the sum of the absolute attributions.
        total: sum of the absolute attributions.
        shares: for each FFN matrix, the values by which its neurons are ranked.
    """
    share = _over(total, np.broadcast_to(total.sum(2, keepdims=True), total.shape))
    share = np.where(np.isfinite(gap), share, np.nan)
    return SiteGaps(_over_units(gap, 0.5), _over_units(gap, WORST), _means(share), np.stack(list(map(_top, shares))))


def _top(values: Float[np.ndarray, "layer neuron"]) -> Float[np.ndarray, "layer"]:
    """Return, for each layer, the share of the top neurons of all layers that lie in it."""
    layers, width = values.shape
    if not np.isfinite(values).all() or not values.any():
        return np.full(layers, np.nan)
    n = max(1, int(TOP * values.size + 0.5))  # as `attribution.selection.how_many`: halves are rounded up
    best = np.argsort(-values.ravel(), kind="stable")[:n] // width
    return np.bincount(best, minlength=layers) / n


def _over_units(values: UnitCells, quantile: float) -> Sites:
    quantiles = np.full(values.shape[1:], np.nan)
    for site in np.ndindex(*quantiles.shape):
        measured = values[(slice(None), *site)]
        measured = measured[np.isfinite(measured)]
        quantiles[site] = np.quantile(measured, quantile) if len(measured) else np.nan
    return quantiles


def _means(values: UnitCells) -> Sites:
    count = np.isfinite(values).sum(0)
    return _over(np.nansum(values, axis=0), count)


def _over(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Divide sums by counts; NaN where a count is 0."""
    ratio: np.ndarray = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return ratio
