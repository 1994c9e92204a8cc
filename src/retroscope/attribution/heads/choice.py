"""Choose heads for exact ablation: the top heads by an estimate, and random heads as controls. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Head(NamedTuple):
    """One attention head: the layer (1..L) whose block it belongs to, and its number in the block, from 0."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"{self.layer}.{self.head}"


@dataclass(frozen=True)
class HeadChoice:
    """The heads whose ablation is measured exactly.

    Attributes:
        top: side -> the heads whose ablation lowers the margin most, by the estimate, the most harmful first.
        sample: heads drawn at random from those that are top on no side, so that errors are not measured on top heads
            alone.
        controls: layer -> heads drawn at random from those of the layer that are top on no side.
    """

    top: Mapping[str, tuple[Head, ...]]
    sample: tuple[Head, ...]
    controls: Mapping[int, tuple[Head, ...]]

    @property
    def every(self) -> tuple[Head, ...]:
        """Return all chosen heads, in order."""
        tops = (head for heads in self.top.values() for head in heads)
        return tuple(sorted({*tops, *self.sample, *(head for heads in self.controls.values() for head in heads)}))


MOST_TOP = 0.25  # share of all heads that may be top, so that others of their layers are left to compare them with


def choose_heads(
    estimates: Mapping[str, Float[np.ndarray, "layer head"]], *, top: int, sample: int, controls: int, seed: int
) -> HeadChoice:
    """Choose the heads to ablate exactly, the same ones in every model.

    Args:
        estimates: side -> change of the margin if a head is ablated.
        top: largest number of top heads of every side (see `MOST_TOP`).
        sample: number of heads drawn at random from the others.
        controls: number of heads drawn at random from the others, in each layer that has a top head.
    """
    best = {side: _lowest(values, how_many_top(top, values.size)) for side, values in estimates.items()}
    taken = {head for heads in best.values() for head in heads}
    layers, heads = next(iter(estimates.values())).shape
    others = [Head(layer, head) for layer in range(1, layers + 1) for head in range(heads)]
    others = [head for head in others if head not in taken]
    rng = np.random.default_rng(seed)
    drawn = tuple(sorted(others[i] for i in rng.permutation(len(others))[:sample]))
    by_layer: dict[int, tuple[Head, ...]] = {}
    for layer in sorted({head.layer for head in taken}):
        some = [head for head in others if head.layer == layer]
        by_layer[layer] = tuple(some[i] for i in rng.permutation(len(some))[:controls])
    return HeadChoice(best, drawn, by_layer)


def how_many_top(top: int, heads: int) -> int:
    """Return the number of top heads, limited to between one and a quarter of all heads."""
    return max(1, min(top, int(MOST_TOP * heads)))


def random_sets(top: Sequence[Head], heads: int, draws: int, seed: int) -> list[tuple[Head, ...]]:
    """Draw random sets that have as many heads in every layer as `top`, without top heads.

    A layer with too few other heads gives all of them, so a set may be smaller than `top`.

    Args:
        heads: number of heads in every layer.
    """
    drawn = []
    for draw in range(draws):
        rng = np.random.default_rng((seed, draw))
        chosen: list[Head] = []
        for layer in sorted({head.layer for head in top}):
            taken = {head.head for head in top if head.layer == layer}
            others = [head for head in range(heads) if head not in taken]
            chosen += [Head(layer, others[i]) for i in rng.permutation(len(others))[: len(taken)]]
        drawn.append(tuple(sorted(chosen)))
    return drawn


def _lowest(values: Float[np.ndarray, "layer head"], n: int) -> tuple[Head, ...]:
    order = np.argsort(values, axis=None, kind="stable")[:n]
    return tuple(Head(int(at) // values.shape[1] + 1, int(at) % values.shape[1]) for at in order)
