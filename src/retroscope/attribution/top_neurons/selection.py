"""Select the neurons to ablate by their attribution, and random or unimportant neurons as controls."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.settings import PARTS
from retroscope.errors import AnalysisError, SettingsError, unknown_name

BY = {"signed": "signed", "magnitude": "mean", "share": "share"}  # ranking -> variable of the attribution
HOWS = ("top", "bottom", "random")
TOP = 0.01  # share of the neurons in a top set, where no other is asked for


def how_many(share: float, n: int) -> int:
    """Return how many of `n` neurons a share is: `share` times `n`, rounded to a whole number, but at least 1."""
    return max(1, math.floor(share * n + 0.5))


@dataclass(frozen=True, eq=False)
class Ranking:
    """All neurons of some FFN matrices, with the values by which they are ranked.

    Attributes:
        by: what the values are: a name in `BY`, or "size".
        sites: (FFN matrix, layer) pairs, e.g. ("intermediate", 3).
        values: for each of `sites`, the values of its neurons.
    """

    by: str
    sites: tuple[tuple[str, int], ...]
    values: tuple[Float[np.ndarray, "neuron"], ...]

    @property
    def n(self) -> int:
        """Return how many neurons are ranked."""
        return sum(map(len, self.values))


@dataclass(frozen=True)
class NeuronSet:
    """A set of neurons: FFN matrix (e.g. "output") -> layer (1..L) -> indices of neurons, in rising order."""

    neurons: Mapping[str, Mapping[int, tuple[int, ...]]]

    @property
    def layers(self) -> tuple[int, ...]:
        """Return the layers (1..L) that have neurons in this set, in rising order."""
        return tuple(
            sorted({layer for layers in self.neurons.values() for layer, indices in layers.items() if indices})
        )

    def __len__(self) -> int:
        """Return how many neurons the set has."""
        return sum(len(indices) for layers in self.neurons.values() for indices in layers.values())


def ranked(attribution: NeuronAttribution, by: str, parts: Sequence[str] | None = None) -> Ranking:
    """Rank the neurons of some FFN matrices by their attribution, averaged over examples.

    Magnitudes of different FFN matrices are not on one scale, because each is a sum over as many weights as its matrix
    has inputs.

    Args:
        by: "signed" (mean signed value: how much the neuron adds to F), "magnitude" (mean magnitude) or "share" (mean
            of the magnitude over the example's largest magnitude).
        parts: names of FFN matrices. If None, the first of `intermediate`, `up` and `output` that was attributed.

    Raises:
        SettingsError: if a name is unknown, or `parts` has both `intermediate` and `up`.
        AnalysisError: if neurons have no value to rank by, e.g. no "share" if F varies only within rounding errors.
    """
    if by not in BY:
        raise unknown_name("ranking", by, BY)
    ranked_parts = tuple(parts) if parts is not None else (ranked_part(attribution.parts),)
    for part in ranked_parts:
        if part not in attribution.neurons:
            raise unknown_name("attributed part", part, attribution.parts)
    if {"intermediate", "up"} <= {*ranked_parts}:
        raise SettingsError(
            "parts 'intermediate' and 'up' name the same hidden units, so each would count twice",
            fix="rank by one of these two parts, e.g. parts=('intermediate',)",
        )
    sites, values = [], []
    for part in ranked_parts:
        table = attribution.neurons[part][BY[by]]
        for layer in table["layer"].values.tolist():
            sites.append((part, int(layer)))
            values.append(np.asarray(table.sel(layer=layer).values, dtype=np.float64))
    _check_ranked(by, values)
    return Ranking(by, tuple(sites), tuple(values))


def ranked_part(parts: Sequence[str]) -> str:
    """Return the FFN matrix whose neurons are ranked by default: the hidden units, if they were attributed."""
    return next(part for part in PARTS if part in parts)


def _check_ranked(by: str, values: Sequence[Float[np.ndarray, "neuron"]]) -> None:
    wrong = sum(int((~np.isfinite(site_values)).sum()) for site_values in values)
    if not values:
        raise AnalysisError(
            "no FFN matrix was named (`parts` is empty), so there are no neurons to rank",
            fix="name an FFN matrix, e.g. parts=('output',)",
        )
    if wrong:
        raise AnalysisError(
            f"{wrong} neurons have no finite value of {by!r}",
            fix="rank by 'magnitude' or 'signed'; 'share' has no values if F varies only within rounding errors",
        )


def choose(ranking: Ranking, fraction: float, how: str, seed: int = 0) -> NeuronSet:
    """Choose a fraction of the neurons: those with the largest values, with the smallest, or random ones.

    The number of neurons is rounded to a whole number, at least one. The values of `how` are:

    - `top`: the neurons with the largest values. Ties are ordered by FFN matrix, layer and index. By "signed", these
      neurons raise F most. Neurons that lower F most, whose ablation should help, are not among them.
    - `bottom`: the neurons with the smallest |value|, as many in every FFN matrix and layer as `top` has.
    - `random`: neurons drawn at random, as many in every FFN matrix and layer as `top` has. They are drawn from all
      neurons of the layer, including the top ones. The null hypothesis is that the ranking within a layer is
      uninformative. With the same seed, the set of a larger fraction contains that of a smaller one.

    All three sets have equally many neurons in every layer, so no difference between them can come from the layers.
    """
    if not 0 < fraction <= 1:
        raise SettingsError(
            f"fraction is {fraction}, which is out of range", fix="give a share of the neurons, above 0 and at most 1"
        )
    if how not in HOWS:
        raise unknown_name("choice of neurons", how, HOWS)
    top = _top(ranking, how_many(fraction, ranking.n))
    neurons: dict[str, dict[int, tuple[int, ...]]] = {}
    for site, (part, layer) in enumerate(ranking.sites):
        if len(top[site]):
            indices = _chosen(how, ranking.values[site], top[site], (seed, site))
            neurons.setdefault(part, {})[layer] = tuple(sorted(indices.tolist()))
    return NeuronSet(neurons)


def matched(ranking: Ranking, like: NeuronSet) -> NeuronSet:
    """Choose the neurons with the largest values in `ranking`, as many in every FFN matrix and layer as `like` has."""
    neurons: dict[str, dict[int, tuple[int, ...]]] = {}
    for (part, layer), values in zip(ranking.sites, ranking.values, strict=True):
        n = len(like.neurons.get(part, {}).get(layer, ()))
        if n:
            best = np.argsort(-values, kind="stable")[:n]
            neurons.setdefault(part, {})[layer] = tuple(sorted(best.tolist()))
    return NeuronSet(neurons)


def shared(one: NeuronSet, two: NeuronSet) -> float:
    """Return which share of the neurons in `one` are in `two`, too."""
    both = sum(
        len({*some} & {*two.neurons.get(part, {}).get(layer, ())})
        for part, layers in one.neurons.items()
        for layer, some in layers.items()
    )
    return both / len(one)


def _top(ranking: Ranking, k: int) -> list[Int[np.ndarray, "chosen"]]:
    """Return, for each FFN matrix and layer, the indices of its neurons that are among the `k` largest of all."""
    best = np.argsort(-np.concatenate(ranking.values), kind="stable")[:k]
    ends = np.cumsum([0, *map(len, ranking.values)])
    return [best[(best >= start) & (best < stop)] - start for start, stop in pairwise(ends)]


def _chosen(
    how: str, values: Float[np.ndarray, "neuron"], top: Int[np.ndarray, "chosen"], seed: tuple[int, int]
) -> Int[np.ndarray, "chosen"]:
    if how == "top":
        return top
    if how == "bottom":
        return np.argsort(np.abs(values), kind="stable")[: len(top)]
    return np.random.default_rng(seed).permutation(len(values))[: len(top)]
