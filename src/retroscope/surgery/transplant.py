"""Names of transplants: which weights of a hybrid come from the donor. No torch.

`pairs` says which pairs allow them, `hybrids` runs them. The upper blocks of one model on the lower states of the other
are an identity stitch (Lenc and Vedaldi 2015; Bansal et al. 2021, arXiv 2106.07682).
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
    """The weights of a hybrid that come from the donor.

    Attributes:
        name: "none", "all", "block:K" or "block:J-K" (these blocks alone), "top:K" (the last K blocks and the final
            norm), "bottom:K" (embeddings and the first K blocks), "attention", "ffn_in" (with the gate), "ffn_out",
            "norms", "embeddings" (of all layers), "interpolate:X", "set:J-K+L+outside" (these blocks together;
            "outside" is all that lies outside the blocks), or "random:DRAW:NAME" (the weights that NAME donates keep
            the receiver's values plus a random change as large as the difference, see `surgery.random_changes`).
        donates: function that says whether the donor gives the weights of a layer (0 the embeddings, k block k, L also
            what follows it) and part.
        share: X of an interpolation, (1 - X) receiver + X donor, everywhere, or else None.
        draw: number of the random change, or else None.
    """

    name: str
    donates: Donates
    share: float | None = None
    draw: int | None = None


def named(name: str, n_blocks: int) -> Transplant:
    """Parse the name of a transplant.

    Raises:
        SettingsError: for an unknown name, or more blocks than the model has.
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
    """Return a value that is equal for transplants that donate the same weights with the same share and draw."""
    parts = {part for parts in PARTS.values() for part in parts} | {*OUTSIDE_PARTS}
    places = product(range(n_blocks + 1), sorted(parts))
    weights = [place for place in places if transplant.donates(*place)]
    return tuple(weights), transplant.share, transplant.draw


def _random(name: str, rest: str, n_blocks: int) -> Transplant:
    draw, _, inner = rest.partition(":")
    changed = named(inner, n_blocks)
    if not _is_number(draw) or changed.share is not None or changed.draw is not None:
        raise SettingsError(
            f"{name!r} does not name a random change of weights", fix="give random:DRAW:NAME, e.g. random:0:block:1"
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
    """Return the first and last block of "J-K"; for "K" both are K."""
    first, dash, last = number.partition("-")
    ends = [int(n) if _is_number(n) else 0 for n in (first, last if dash else first)]
    if not 1 <= ends[0] <= ends[1] <= n_blocks or (dash and word != "block"):
        raise SettingsError(
            f"the transplant {name!r} does not fit the model, which has {n_blocks} blocks",
            fix=f"give {word}:1 to {word}:{n_blocks}",
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
            f"the transplant {name!r} has no share from 0 to 1",
            fix="write a share, e.g. interpolate:0.5",
        )
    return share


def _counted(word: str, first: int, last: int, n_blocks: int) -> Donates:
    if word == "block":
        return lambda layer, part: first <= layer <= last and part not in OUTSIDE_PARTS
    if word == "bottom":
        return lambda layer, part: layer <= last and part not in ("final_norm", "other")
    return lambda layer, _part: layer > n_blocks - last


def steps(n_blocks: int, groups: int = 0) -> tuple[tuple[int, int], ...]:
    """Divide the blocks into `groups` of neighbours (0: single blocks), and return first and last block of each."""
    count = min(groups or n_blocks, n_blocks)
    ends = [round(k * n_blocks / count) for k in range(count + 1)]
    return tuple((low + 1, high) for low, high in pairwise(ends))


def block_name(step: tuple[int, int]) -> str:
    """Return the name of the transplant that exchanges only these blocks."""
    first, last = step
    return f"block:{last}" if first == last else f"block:{first}-{last}"


def sweep(n_blocks: int, shares: Sequence[float] = (0.25, 0.5, 0.75), groups: int = 0) -> tuple[str, ...]:
    """Return the names of all transplants: single and cumulative groups of blocks, parts, and interpolations."""
    groups_of_blocks = steps(n_blocks, groups)
    counted = [block_name(step) for step in groups_of_blocks]
    counted += [f"top:{n_blocks - first + 1}" for first, _ in reversed(groups_of_blocks)]
    counted += [f"bottom:{last}" for _, last in groups_of_blocks]
    return ("none", *counted, *PARTS, *(f"interpolate:{x:g}" for x in shares), "all")
