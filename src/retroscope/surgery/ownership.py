"""Find from which model each weight of a hybrid comes, and which lowest layers several hybrids share.

The owner of a weight is the model from which it comes. A hybrid's path lists the owners layer by layer, from the
embeddings up. If the paths of two hybrids begin with the same owners, the hybrids have the same states in these layers.
If all of these owners are one model, the states are those of that model's own forward pass.

This module does not import torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from retroscope.encoders.architecture.anatomy import Anatomy
from retroscope.surgery.transplant import Transplant, named

# Families whose blocks hand one another more than hidden states, made from weights: they are run whole.
ENTANGLED = frozenset({"t5", "mt5", "mpnet", "deberta-v2"})
ABOVE = ("final_norm", "other")  # parts that follow the blocks; their layer is the last

CHANGED = 2  # the owner of what is changed at random
HybridKey = tuple[int, str]  # which of the two receives (0 or 1), and the transplant's name
Path = tuple[tuple[int, ...], ...]  # owners of the embeddings, and of every part of each block


@dataclass(frozen=True)
class Hybrid:
    """Definition of a hybrid of two models: from which of them (0 or 1) each layer and part takes its weights.

    Attributes:
        owner: function from a layer and a part (e.g. 3 and "attention") to the model from which these weights come. It
            returns `CHANGED` if they are those of `base` with a random change added.
        share: for an interpolation, the weight of model 1, else None.
        draw: for a random change, the index of the draw, else None.
        base: for a random change, the model whose weights are changed.
    """

    owner: Callable[[int, str], int]
    share: float | None
    draw: int | None = None
    base: int = 0

    def signature(self, anatomy: Anatomy) -> object:
        """Return a hashable value that is the same for two hybrids of the same pair if their weights are the same."""
        if self.share is not None:
            return self.share
        above = [part for part in ABOVE if part != "final_norm" or anatomy.layout.final_norm]
        return self.path(anatomy), tuple(self._label(anatomy.n_blocks, part) for part in above)

    def path(self, anatomy: Anatomy) -> Path:
        """Return the owners (models of origin) of the embeddings, then those of each block's parts, from block 1 up."""
        blocks = range(1, anatomy.n_blocks + 1)
        return (self._label(0, "embedding"),), *(
            tuple(self._label(layer, part) for part in parts_of(anatomy)) for layer in blocks
        )

    def owners(self, layer: int, anatomy: Anatomy) -> set[int]:
        """Return the distinct owners (models of origin) of one block's parts, e.g. {0, 1} if it mixes both models."""
        return {self.owner(layer, part) for part in parts_of(anatomy)}

    def is_whole(self, anatomy: Anatomy) -> bool:
        """Return whether the hybrid must run all of its layers, i.e. cannot start from recorded states."""
        above = [self.owner(anatomy.n_blocks, part) for part in ABOVE]
        outside_changed = CHANGED in (self.owner(0, "embedding"), *above)
        return self.share is not None or anatomy.family in ENTANGLED or outside_changed

    def _label(self, layer: int, part: str) -> int:
        owner = self.owner(layer, part)
        return owner if owner != CHANGED else CHANGED + 2 * (self.draw or 0) + self.base


def hybrid_of(receiver: int, transplant: Transplant) -> Hybrid:
    """Return the hybrid that results from a transplant into model `receiver` (0 or 1). The other one is the donor."""
    share, draw = transplant.share, transplant.draw
    if draw is not None:
        return Hybrid(
            lambda layer, part: CHANGED if transplant.donates(layer, part) else receiver, None, draw, receiver
        )
    if share is not None and receiver == 1:
        share = 1 - share
    return Hybrid(lambda layer, part: receiver ^ int(transplant.donates(layer, part)), share)


def parts_of(anatomy: Anatomy) -> list[str]:
    """Return the names of the parts of a block in this architecture, e.g. "attention" and "ffn_out"."""
    return sorted({name.partition(".")[0] for name in anatomy.layout.in_block()})


def own_layers(path: Path) -> int:
    """Return how many of the lowest layers, counted from the embeddings, come entirely from one model."""
    side = path[0][0]
    return next((k for k, owners in enumerate(path) if {*owners} != {side}), len(path))


def grouped(keys: Sequence[HybridKey], anatomy: Anatomy) -> list[tuple[Hybrid, list[HybridKey]]]:
    """Return each distinct hybrid with all keys (receiver, transplant) that result in it.

    Hybrids that share their lowest layers follow each other.
    """
    names: dict[object, tuple[Hybrid, list[HybridKey]]] = {}
    for receiver, name in keys:
        hybrid = hybrid_of(receiver, named(name, anatomy.n_blocks))
        names.setdefault(hybrid.signature(anatomy), (hybrid, []))[1].append((receiver, name))
    return sorted(names.values(), key=lambda entry: () if entry[0].is_whole(anatomy) else entry[0].path(anatomy))


def encodings(anatomy: Anatomy, keys: Sequence[HybridKey]) -> float:
    """Return how many full forward passes of a text all hybrids together cost, including both intact models."""
    full_runs, run = 0, set[Path]()
    for hybrid, _ in grouped(keys, anatomy):
        if hybrid.is_whole(anatomy):
            full_runs += 1
        else:
            path = hybrid.path(anatomy)
            run |= {path[: k + 1] for k in range(max(1, own_layers(path)), len(path))}
    return 2 + full_runs + len(run) / anatomy.n_blocks
