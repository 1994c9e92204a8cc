"""Names of transplants. A transplant puts some weights of one model (donor) into another (receiver): a hybrid.

`pairs` checks that two models can exchange weights, and `hybrids` encodes texts with hybrids. Putting the upper blocks
of one model on the lower blocks of the other is called an identity stitch (Lenc and Vedaldi 2015; Bansal et al. 2021,
arXiv 2106.07682).

This module does not import torch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from retroscope.errors import SettingsError, unknown_name

RESTORED, GRAFTED = "restored", "grafted"
DIRECTIONS: Mapping[str, tuple[str, str]] = {  # -> receiver, donor
    RESTORED: ("after", "before"),  # the backbone's weights are restored in the retriever
    GRAFTED: ("before", "after"),  # the retriever's weights are grafted into the backbone
}
PARTS: Mapping[str, frozenset[str]] = {
    "attention": frozenset({"attention"}),
    "ffn_in": frozenset({"ffn_in", "ffn_gate"}),
    "ffn_out": frozenset({"ffn_out"}),
    "norms": frozenset({"norm", "final_norm"}),
    "embeddings": frozenset({"embedding"}),
}
COUNTED = ("block", "top", "bottom")
RANDOM, SET, OUTSIDE = "random", "set", "outside"
WORDS = ("none", "all", *(f"{word}:K" for word in COUNTED), *PARTS, "interpolate:X", "set:J-K+L+outside",
         "random:DRAW:NAME")  # fmt: skip
OUTSIDE_PARTS = ("final_norm", "other", "embedding")  # of no block
Donates = Callable[[int, str], bool]  # (layer, part) of a parameter -> the donor's?


@dataclass(frozen=True)
class Transplant:
    """A transplant: which weights of a hybrid come from the donor. All others come from the receiver.

    Attributes:
        name: one of these names:
            "none" or "all";
            "block:K" or "block:J-K" (only these blocks);
            "top:K" (the last K blocks and the final norm) or "bottom:K" (the embeddings and the first K blocks);
            "attention", "ffn_in" (with the gate), "ffn_out", "norms" or "embeddings" (this part of all layers);
            "interpolate:X" (all weights are (1 - X) receiver + X donor);
            "set:J-K+L+outside" (several blocks; "outside" is everything outside the blocks, e.g. the embeddings);
            "random:DRAW:NAME" (the control of the transplant NAME: its weights are the receiver's plus a random change
            with the norm of the real change, see `surgery.random_changes`).
        donates: function from a layer and a part to whether the donor gives these weights. Layer 0 is the embeddings
            and layer k is block k. The last layer includes what follows the last block, e.g. the final norm.
        share: X of an interpolation, else None.
        draw: index of the draw of a random change, else None.
    """

    name: str
    donates: Donates
    share: float | None = None
    draw: int | None = None


def named(name: str, n_blocks: int) -> Transplant:
    """Parse the name of a transplant, e.g. "block:3", into the weights that the donor gives.

    Raises:
        SettingsError: if the name is unknown, or names more blocks than the model has.
    """
    word, _, number = name.partition(":")
    if word == RANDOM:
        return _random(name, number, n_blocks)
    if word == SET and number:
        return Transplant(name, _set(name, number.split("+"), n_blocks))
    if word == "interpolate":
        return Transplant(name, lambda _layer, _part: False, _share(name, number))
    if word in COUNTED:
        return Transplant(name, _counted(word, *_blocks(name, word, number, n_blocks), n_blocks))
    if word in PARTS and not number:
        return Transplant(name, lambda _layer, part: part in PARTS[word])
    if name in ("none", "all"):
        return Transplant(name, lambda _layer, _part: name == "all")
    raise unknown_name("transplant", name, WORDS)


def donated(transplant: Transplant, n_blocks: int) -> object:
    """Return a hashable value that is the same for two transplants if their weights, share and draw are the same."""
    parts = {part for parts in PARTS.values() for part in parts} | {*OUTSIDE_PARTS}
    places = product(range(n_blocks + 1), sorted(parts))
    weights = [place for place in places if transplant.donates(*place)]
    return tuple(weights), transplant.share, transplant.draw


def _random(name: str, rest: str, n_blocks: int) -> Transplant:
    draw, _, inner = rest.partition(":")
    changed = named(inner, n_blocks)
    if not _is_number(draw) or changed.share is not None or changed.draw is not None:
        raise SettingsError(
            f"{name!r} does not name a random change of weights", fix="write random:DRAW:NAME, e.g. random:0:block:1"
        )
    return Transplant(name, changed.donates, draw=int(draw))


def _set(name: str, members: Sequence[str], n_blocks: int) -> Donates:
    ranges = [_blocks(name, "block", member, n_blocks) for member in members if member != OUTSIDE]
    outside = OUTSIDE in members

    def donates(layer: int, part: str) -> bool:
        if part in OUTSIDE_PARTS:
            return outside
        return any(first <= layer <= last for first, last in ranges)

    return donates


def _blocks(name: str, word: str, number: str, n_blocks: int) -> tuple[int, int]:
    """Parse "J-K" or "K", and return the first and the last block. For "K", both are K.

    Args:
        name: whole name of the transplant, for errors.
        word: kind of transplant: "block", "top" or "bottom". Only "block" may have a range "J-K".
        number: the string to parse, e.g. "3-4".
    """
    first, dash, last = number.partition("-")
    ends = [int(n) if _is_number(n) else 0 for n in (first, last if dash else first)]
    if not 1 <= ends[0] <= ends[1] <= n_blocks or (dash and word != "block"):
        raise SettingsError(
            f"the transplant {name!r} does not fit the model, which has {n_blocks} blocks",
            fix=f"use {word}:1 to {word}:{n_blocks}",
        )
    return ends[0], ends[1]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _share(name: str, number: str) -> float:
    try:
        share = float(number)
    except ValueError:
        share = float("nan")
    if not 0 <= share <= 1:
        raise SettingsError(
            f"the transplant {name!r} needs a share of the donor from 0 to 1",
            fix="write e.g. interpolate:0.5",
        )
    return share


def _counted(word: str, first: int, last: int, n_blocks: int) -> Donates:
    if word == "block":
        return lambda layer, part: first <= layer <= last and part not in OUTSIDE_PARTS
    if word == "bottom":
        return lambda layer, part: layer <= last and part not in ("final_norm", "other")
    return lambda layer, _part: layer > n_blocks - last


def steps(n_blocks: int, groups: int = 0) -> tuple[tuple[int, int], ...]:
    """Divide the blocks into `groups` groups of neighbours, and return (first block, last block) of each group.

    With 0 groups, every block is a group of its own.
    """
    count = min(groups or n_blocks, n_blocks)
    ends = [round(k * n_blocks / count) for k in range(count + 1)]
    return tuple((low + 1, high) for low, high in pairwise(ends))


def block_name(step: tuple[int, int]) -> str:
    """Return the transplant's name for the blocks in `step` (first block, last block), e.g. "block:3-4"."""
    first, last = step
    return f"block:{last}" if first == last else f"block:{first}-{last}"


def blocks_within(name: str) -> list[str]:
    """Return the transplants of every single block of a group: "block:3" and "block:4" for "block:3-4", else none.

    "block:3" and "block:3-3" are a single block, which cannot be split.
    """
    word, _, number = name.partition(":")
    first, dash, last = number.partition("-")
    if word != "block" or not dash or int(first) == int(last):
        return []
    return [f"block:{block}" for block in range(int(first), int(last) + 1)]


def sweep(n_blocks: int, shares: Sequence[float] = (0.25, 0.5, 0.75), groups: int = 0) -> tuple[str, ...]:
    """Return the names of all transplants that a study measures.

    They are "none", groups of blocks (each alone, cumulated from the top, cumulated from the bottom), parts,
    interpolations, and "all".

    Args:
        shares: shares of the donor in interpolations.
        groups: how many groups of blocks there are. With 0, every block is a group of its own.
    """
    groups_of_blocks = steps(n_blocks, groups)
    counted = [block_name(step) for step in groups_of_blocks]
    counted += [f"top:{n_blocks - first + 1}" for first, _ in reversed(groups_of_blocks)]
    counted += [f"bottom:{last}" for _, last in groups_of_blocks]
    return ("none", *counted, *PARTS, *(f"interpolate:{x:g}" for x in shares), "all")
