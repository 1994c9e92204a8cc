"""Choose heads for exact ablation: the top heads by an estimate, and random heads as controls.

This module does not import torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Head(NamedTuple):
    """One attention head: the layer (1..L) of its block, and its index in the block, from 0."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"{self.layer}.{self.head}"


@dataclass(frozen=True)
class HeadChoice:
    """The attention heads whose ablation is measured exactly: top heads, a random sample, and controls.

    Attributes:
        top: "before" or "after" -> heads of that model whose ablation lowers the margin most, by the estimate. The head
            with the largest loss comes first.
        sample: heads drawn at random from those that are top heads of neither model. With them, errors of the estimates
            are not measured on top heads alone.
        controls: layer -> random heads of that layer that are top heads of neither model.
    """

    top: Mapping[str, tuple[Head, ...]]
    sample: tuple[Head, ...]
    controls: Mapping[int, tuple[Head, ...]]

    @property
    def every(self) -> tuple[Head, ...]:
        """Return all heads that are ablated exactly, each once, ordered by layer and index."""
        tops = (head for heads in self.top.values() for head in heads)
        return tuple(sorted({*tops, *self.sample, *(head for heads in self.controls.values() for head in heads)}))


MOST_TOP = 0.25  # share of all heads that may be top, so that others of their layers are left to compare them with


def choose_heads(
    estimates: Mapping[str, Float[np.ndarray, "layer head"]], *, top: int, sample: int, controls: int, seed: int
) -> HeadChoice:
    """Choose the attention heads to ablate exactly, the same ones in every model.

    Args:
        estimates: "before" or "after" -> estimated change of that model's margin if a head is ablated.
        top: how many top heads each model has, at most a quarter of all heads.
        sample: how many heads are drawn at random from all that are not top heads.
        controls: how many heads are drawn at random in each layer with a top head, from those that are not top heads.
    """
    best = {side: _lowest(values, how_many_top(top, values.size)) for side, values in estimates.items()}
    top_heads = {head for heads in best.values() for head in heads}
    layers, heads = next(iter(estimates.values())).shape
    others = [Head(layer, head) for layer in range(1, layers + 1) for head in range(heads)]
    others = [head for head in others if head not in top_heads]
    rng = np.random.default_rng(seed)
    drawn = tuple(sorted(others[i] for i in rng.permutation(len(others))[:sample]))
    by_layer: dict[int, tuple[Head, ...]] = {}
    for layer in sorted({head.layer for head in top_heads}):
        some = [head for head in others if head.layer == layer]
        by_layer[layer] = tuple(some[i] for i in rng.permutation(len(some))[:controls])
    return HeadChoice(best, drawn, by_layer)


def how_many_top(top: int, heads: int) -> int:
    """Return `top`, but at least 1 and at most a quarter of all `heads`."""
    return max(1, min(top, int(MOST_TOP * heads)))


def random_sets(top: Sequence[Head], heads: int, draws: int, seed: int) -> list[tuple[Head, ...]]:
    """Draw `draws` random sets of heads. A set has as many heads in every layer as `top`, none of them a top head.

    If a layer has too few heads that are not top heads, all of them are drawn, and the set is smaller than `top`.

    Args:
        heads: how many heads every layer has.
    """
    drawn = []
    for draw in range(draws):
        rng = np.random.default_rng((seed, draw))
        random_set: list[Head] = []
        for layer in sorted({head.layer for head in top}):
            top_in_layer = {head.head for head in top if head.layer == layer}
            others = [head for head in range(heads) if head not in top_in_layer]
            random_set += [Head(layer, others[i]) for i in rng.permutation(len(others))[: len(top_in_layer)]]
        drawn.append(tuple(sorted(random_set)))
    return drawn


def _lowest(values: Float[np.ndarray, "layer head"], n: int) -> tuple[Head, ...]:
    order = np.argsort(values, axis=None, kind="stable")[:n]
    return tuple(Head(int(at) // values.shape[1] + 1, int(at) % values.shape[1]) for at in order)
