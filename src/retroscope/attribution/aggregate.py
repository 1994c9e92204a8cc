"""Sum attributions over examples, batch by batch, and store statistics of each example, e.g. its completeness gap."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from retroscope.attribution import result as r
from retroscope.attribution.integrals.methods import gaps
from retroscope.attribution.integrals.paths import SiteValues, Values, only
from retroscope.attribution.settings import AttributionSettings
from retroscope.attribution.sites import Site
from retroscope.attribution.top_neurons.concentration import gini, participation_ratio, top_share
from retroscope.files.checksums import read_if_sound
from retroscope.files.whole import checked_file

# Shares are counted in bins of equal ratio between SMALLEST and 1; a quantile read from them errs by at most half
# a bin, 3.7 %. Bin 0 holds what is smaller and reads as 0.
BINS = 128
SMALLEST = 1e-4

PER_EXAMPLE = ("stats", "value", "noise", "lost")  # arrays with a row for every example
Arrays = dict[str, np.ndarray]


@dataclass(eq=False)
class Aggregates:
    """Sums of neuron attributions over examples, and statistics of each example, e.g. its completeness gap.

    Attributes:
        settings: settings of the attribution, e.g. the attributed scalar F.
        statistics: names of the statistics of each example at each FFN matrix, e.g. "gap" and "gini".
        half: 0 or 1 for each example: the random half of the examples to which it belongs.
        arrays: arrays by name. "intermediate/mean", "output/share" ... are sums over examples, [..., layer, neuron].
            "stats" has the dimensions [example, statistic, FFN matrix, layer]. "value" (F of the intact network),
            "noise" (True if F varies only within rounding errors) and "lost" (True if a value is not finite) have one
            entry per example.
    """

    settings: AttributionSettings
    statistics: tuple[str, ...]
    half: Int[np.ndarray, "example"]
    arrays: Arrays

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the names of the FFN matrices whose neurons are attributed, in the order of the array "stats"."""
        return self.settings.parts


def begin(
    settings: AttributionSettings, widths: dict[str, int], layers: int, half: Int[np.ndarray, "example"]
) -> Aggregates:
    """Return sums of neuron attributions to which no example has been added yet.

    Args:
        widths: how many neurons one layer has, by FFN matrix ("intermediate", "up", "output").
        layers: how many layers the encoder has.
        half: 0 or 1 for each example: the random half of the examples to which it belongs.
    """
    examples = len(half)
    statistics = (*r.STATISTICS, *(r.active(t) for t in settings.thresholds))
    arrays: Arrays = {
        "stats": np.full((examples, len(statistics), len(settings.parts), layers), np.nan),
        "value": np.full(examples, np.nan),
        "noise": np.zeros(examples, dtype=bool),
        "lost": np.zeros(examples, dtype=bool),
    }
    for part, width in widths.items():
        shape = (layers, width)
        arrays |= {f"{part}/{name}": np.zeros(shape) for name in ("mean", "signed", "share")}
        arrays |= {f"{part}/{name}": np.zeros((2, *shape)) for name in ("half", "half_share")}
        arrays[f"{part}/count"] = np.zeros((len(settings.thresholds), *shape), dtype=np.int64)
        if settings.quantiles:
            arrays[f"{part}/bins"] = np.zeros((*shape, BINS + 1), dtype=np.int32)
    return Aggregates(settings, statistics, half, arrays)


def grown(sums: Aggregates, half: Int[np.ndarray, "example"]) -> Aggregates:
    """Return the same sums of attributions with room for more examples: empty rows after those of the examples so far.

    Args:
        half: 0 or 1 for each example, old and new: the random half to which it belongs.
    """
    more = begin(sums.settings, {}, sums.arrays["stats"].shape[-1], half).arrays
    for name in PER_EXAMPLE:
        more[name][: len(sums.half)] = sums.arrays[name]
    return replace(sums, half=half, arrays={**sums.arrays, **{name: more[name] for name in PER_EXAMPLE}})


def add(sums: Aggregates, examples: Sequence[int], values: Values, level: Float[Tensor, "example"]) -> None:
    """Add the neuron attributions of one batch of examples to the sums.

    An example whose F changes by no more than `level` along the path is marked as noise. Its shares and its gap would
    be rounding errors, so they are left out. An example with a value that is not finite (e.g. an overflow in float16)
    is marked as lost and left out of all sums.

    Args:
        examples: indices of the batch's examples.
        values: attributions of these examples by FFN matrix.
        level: upper bound on the rounding error of each example's F.
    """
    finite = torch.stack([_finite(site_values) for site_values in values.values()]).all(0)
    index = np.asarray(examples)
    sums.arrays["lost"][index] = ~finite.cpu().numpy()
    is_finite = finite.cpu().numpy()
    if is_finite.any():
        finite_values = {
            site: only(site_values, torch.nonzero(finite).flatten()) for site, site_values in values.items()
        }
        _add_finite(sums, index[is_finite], finite_values, level[finite])


def _finite(values: SiteValues) -> Bool[Tensor, "example"]:
    return values.magnitude.isfinite().all(1) & values.signed.isfinite().all(1) & values.end.isfinite()


def _add_finite(sums: Aggregates, index: Int[np.ndarray, "example"], values: Values, level: Tensor) -> None:
    largest = torch.stack([v.magnitude.amax(1) for v in values.values()]).amax(0)
    spread = torch.stack([v.spread for v in values.values()]).amax(0)
    noise = (spread <= level) | (largest <= 0)
    sums.arrays["value"][index] = next(iter(values.values())).end.double().cpu().numpy()
    sums.arrays["noise"][index] = noise.cpu().numpy()
    gap = gaps(sums.settings.method, values)
    for site, site_values in values.items():
        _set(sums, r.GAP, site, index, torch.where(noise, torch.nan, gap[site]))
        share = site_values.magnitude / torch.where(noise, torch.nan, largest)[:, None]
        _add_neurons(sums, site, site_values, share, index)
        _add_statistics(sums, site, site_values, share, index)


def _add_neurons(
    sums: Aggregates, site: Site, values: SiteValues, share: Tensor, index: Int[np.ndarray, "example"]
) -> None:
    """Add the attributions of one FFN matrix's neurons to the sums over examples.

    Args:
        share: each neuron's magnitude over the largest magnitude of the example, NaN for noise.
        index: indices of these examples.
    """
    row, half = site.block, torch.from_numpy(sums.half[index]).to(share.device)
    known = torch.nan_to_num(share.double(), nan=0.0)
    signed = values.signed.double()

    def to(name: str, at: Any, tensor: Tensor) -> None:
        sums.arrays[f"{site.part}/{name}"][at] += tensor.cpu().numpy()

    to("mean", row, values.magnitude.double().sum(0))
    to("signed", row, signed.sum(0))
    to("share", row, known.sum(0))
    for k in (0, 1):
        to("half", (k, row), signed[half == k].sum(0))
        to("half_share", (k, row), known[half == k].sum(0))
    for i, threshold in enumerate(sums.settings.thresholds):
        to("count", (i, row), (share >= threshold).sum(0))
    if sums.settings.quantiles:
        _add_bins(sums.arrays[f"{site.part}/bins"][row], share)


def _add_bins(bins: Int[np.ndarray, "neuron bin"], share: Float[Tensor, "example neuron"]) -> None:
    rows = share[~share.isnan().any(1)].cpu().numpy()
    width = -np.log(SMALLEST) / BINS
    with np.errstate(divide="ignore"):
        place = np.floor((np.log(rows) - np.log(SMALLEST)) / width) + 1
    place = np.clip(place, 0, BINS).astype(np.int64)
    np.add.at(bins, (np.arange(rows.shape[1])[None, :], place), 1)


def _add_statistics(
    sums: Aggregates, site: Site, site_values: SiteValues, share: Tensor, index: Int[np.ndarray, "example"]
) -> None:
    unknown = share[:, 0].isnan()
    stats = {
        r.CHANGE: site_values.end - site_values.start,
        r.TOTAL: site_values.magnitude.double().sum(1),
        r.SIGNED: site_values.signed.double().sum(1),
        r.NODES: site_values.nodes.double(),
    }
    shape = {
        r.GINI: gini(site_values.magnitude),
        r.PARTICIPATION: participation_ratio(site_values.magnitude),
        r.TOP_SHARE: top_share(site_values.magnitude),
        **{r.active(t): (share >= t).double().mean(1) for t in sums.settings.thresholds},
    }
    stats |= {name: torch.where(unknown, torch.nan, values) for name, values in shape.items()}  # noise has no shape
    for name, values in stats.items():
        _set(sums, name, site, index, values)


def _set(
    sums: Aggregates, name: str, site: Site, index: Int[np.ndarray, "example"], values: Float[Tensor, "example"]
) -> None:
    where = (index, sums.statistics.index(name), sums.parts.index(site.part), site.block)
    sums.arrays["stats"][where] = values.double().cpu().numpy()


def quantiles_of(
    bins: Int[np.ndarray, "layer neuron bin"], wanted: Sequence[float]
) -> Float[np.ndarray, "quantile layer neuron"]:
    """Return quantiles of each neuron's share over examples, computed from its histogram.

    The share of a neuron is its magnitude over the largest magnitude of the example. A quantile is the geometric centre
    of the bin that contains it, and NaN for an empty histogram.
    """
    total = bins.sum(-1, keepdims=True)
    reached = np.cumsum(bins, axis=-1) / np.maximum(total, 1)
    width = -np.log(SMALLEST) / BINS
    middles = np.concatenate([[0.0], SMALLEST * np.exp((np.arange(BINS) + 0.5) * width)])
    quantiles = np.stack([middles[(reached < q).sum(-1).clip(max=BINS)] for q in wanted])
    return np.where(total[..., 0] > 0, quantiles, np.nan)


def save_state(path: Path, sums: Aggregates, *, done: int, row_tokens: int) -> None:
    """Write the sums of attributions so far to a file with a checksum, from which an interrupted run can resume.

    Args:
        done: how many batches the sums contain.
        row_tokens: how many tokens ran through the network at once, at nodes of the integration path.
    """
    with checked_file(path) as file:
        np.savez(file, allow_pickle=False, done=done, row_tokens=row_tokens, **sums.arrays)


def load_state(path: Path, sums: Aggregates) -> tuple[int, int] | None:
    """Read saved sums of attributions from a file into `sums`.

    Return (how many batches the sums contain, how many tokens ran at once). If the file is missing or damaged, return
    None and leave `sums` as it is.
    """
    content = read_if_sound(path)
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        sums.arrays.update({name: stored[name] for name in sums.arrays})
        return int(stored["done"]), int(stored["row_tokens"])
