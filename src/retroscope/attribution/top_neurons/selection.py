"""Select neurons for ablation by their attribution, and control neurons."""

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
    """Return the number of neurons in a share of `n`: the nearest whole number, at least one."""
    return max(1, math.floor(share * n + 0.5))


@dataclass(frozen=True, eq=False)
class Ranking:
    """Every neuron of the chosen FFN matrices, with the value by which it is ranked.

    Attributes:
        by: a name in `BY`.
        sites: the (part, layer) of the neurons, in order.
        values: values of each site's neurons.
    """

    by: str
    sites: tuple[tuple[str, int], ...]
    values: tuple[Float[np.ndarray, "neuron"], ...]

    @property
    def n(self) -> int:
        """Return the number of neurons."""
        return sum(map(len, self.values))


@dataclass(frozen=True)
class NeuronSet:
    """A set of neurons: FFN matrix -> layer -> neuron numbers, in rising order."""

    neurons: Mapping[str, Mapping[int, tuple[int, ...]]]

    @property
    def layers(self) -> tuple[int, ...]:
        """Return the layers that contain any of the neurons."""
        return tuple(sorted({layer for layers in self.neurons.values() for layer, some in layers.items() if some}))

    def __len__(self) -> int:
        """Return the number of neurons."""
        return sum(len(some) for layers in self.neurons.values() for some in layers.values())


def ranked(attribution: NeuronAttribution, by: str, parts: Sequence[str] | None = None) -> Ranking:
    """Rank the neurons of some FFN matrices by one of their aggregates.

    The default is the first attributed part of `intermediate`, `up`, `output`. Magnitudes of several parts are not on
    one scale, because each is a sum over as many weights as its matrix has inputs.

    Args:
        by: "signed" (mean signed value: what the neuron adds to F), "magnitude" (mean magnitude) or "share" (mean
            share of the example's largest magnitude).

    Raises:
        SettingsError: if a name is unknown, or both `intermediate` and `up` are given.
        AnalysisError: if there is no value to rank by, e.g. for "share" if no example's target varies beyond rounding.
    """
    if by not in BY:
        raise unknown_name("ranking", by, BY)
    chosen = tuple(parts) if parts is not None else (ranked_part(attribution.parts),)
    for part in chosen:
        if part not in attribution.neurons:
            raise unknown_name("attributed part", part, attribution.parts)
    if {"intermediate", "up"} <= {*chosen}:
        raise SettingsError(
            "parts 'intermediate' and 'up' name the same hidden units, so each would count twice",
            fix="rank by one of these two parts, e.g. parts=('intermediate',)",
        )
    sites, values = [], []
    for part in chosen:
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
    wrong = sum(int((~np.isfinite(some)).sum()) for some in values)
    if not values:
        raise AnalysisError("no part was given, so there are no neurons to rank", fix="name a part, e.g. 'output'")
    if wrong:
        raise AnalysisError(
            f"{wrong} neurons have no finite value of {by!r}",
            fix="rank by 'magnitude' or 'signed'; 'share' has no values if no example's target varies beyond rounding",
        )


def choose(ranking: Ranking, fraction: float, how: str, seed: int = 0) -> NeuronSet:
    """Choose a number of neurons: the whole number nearest to `fraction` of them, at least one.

    Ways to choose (`how`):

    - `top`: the largest values. Ties are ordered by part, layer and number. By "signed" these neurons raise F most.
      Neurons that lower F most, whose ablation should help, are not included.
    - `bottom`: as many of every part and layer as `top` has, with the smallest |value|.
    - `random`: as many of every part and layer as `top` has, drawn from all neurons of the layer, top ones included:
      the null hypothesis is that the ranking within a layer carries no information. The sets of one seed grow with the
      fraction.

    All three have the same layer histogram, so no difference between them can come from the layers.
    """
    if not 0 < fraction <= 1:
        raise SettingsError(
            f"fraction is {fraction}, which is out of range", fix="give a share of the neurons, above 0 and at most 1"
        )
    if how not in HOWS:
        raise unknown_name("choice of neurons", how, HOWS)
    top = _top(ranking, how_many(fraction, ranking.n))
    chosen: dict[str, dict[int, tuple[int, ...]]] = {}
    for site, (part, layer) in enumerate(ranking.sites):
        if len(top[site]):
            some = _chosen(how, ranking.values[site], top[site], (seed, site))
            chosen.setdefault(part, {})[layer] = tuple(sorted(some.tolist()))
    return NeuronSet(chosen)


def matched(ranking: Ranking, like: NeuronSet) -> NeuronSet:
    """Choose the largest neurons by `ranking`, as many in every FFN matrix and layer as `like` has.

    Two sets with the same layer histogram differ only in the neurons that they contain within a layer.
    """
    chosen: dict[str, dict[int, tuple[int, ...]]] = {}
    for (part, layer), values in zip(ranking.sites, ranking.values, strict=True):
        n = len(like.neurons.get(part, {}).get(layer, ()))
        if n:
            best = np.argsort(-values, kind="stable")[:n]
            chosen.setdefault(part, {})[layer] = tuple(sorted(best.tolist()))
    return NeuronSet(chosen)


def shared(one: NeuronSet, two: NeuronSet) -> float:
    """Return the share of the neurons of `one` that are in `two`, too."""
    both = sum(
        len({*some} & {*two.neurons.get(part, {}).get(layer, ())})
        for part, layers in one.neurons.items()
        for layer, some in layers.items()
    )
    return both / len(one)


def _top(ranking: Ranking, k: int) -> list[Int[np.ndarray, "chosen"]]:
    """Return, for each FFN matrix and layer, its neurons among the `k` largest of all."""
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
