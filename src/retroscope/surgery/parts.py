"""Names of the parts of a backbone that can be re-initialised.

This module does not import torch.
"""

from collections.abc import Callable, Mapping

from retroscope.errors import SettingsError, unknown_name

# Part -> the parts of an anatomy that it means. "norms" leaves the embeddings' own norm to "embeddings".
PARTS: Mapping[str, frozenset[str]] = {
    "embeddings": frozenset({"embedding"}),
    "attention": frozenset({"attention"}),
    "ffn": frozenset({"ffn_in", "ffn_gate", "ffn_out"}),
    "norms": frozenset({"norm", "final_norm"}),
}
BLOCKS = ("top", "bottom")
WORDS = ("all", *(f"{end}:K" for end in BLOCKS), *PARTS)

PartFilter = Callable[[int | None, str], bool]
"""Function from a parameter's block (0.., None outside the blocks) and its part to whether it is re-initialised."""


def check_parts(parts: tuple[str, ...], n_blocks: int = 10**6) -> None:
    """Check that all names in `parts` are known, and select no more than `n_blocks` blocks (default: any number).

    Raises:
        SettingsError: if a word names no part, or more blocks than there are.
    """
    for word in parts:
        part_filter(word, n_blocks)


def part_filter(word: str, n_blocks: int) -> PartFilter:
    """Return a function that decides whether a parameter belongs to a part of the model, e.g. "attention".

    Args:
        word: name of the part, e.g. "attention" or "top:2" (the last two blocks).

    Raises:
        SettingsError: if the word names no part, or more blocks than there are.
    """
    if word == "all":
        return lambda _block, _part: True
    if word in PARTS:
        return lambda _block, part: part in PARTS[word]
    end, _, count = word.partition(":")
    if end not in BLOCKS or not count.isdecimal():
        raise unknown_name("part", word, WORDS)
    k = int(count)
    if k < 1:
        raise SettingsError(f"{word!r} names no block", fix=f"name at least one block, e.g. {end}:1")
    if k > n_blocks:
        raise SettingsError(
            f"{word!r} names {k} blocks, but the model has {n_blocks} blocks",
            fix=f"use {end}:1 to {end}:{n_blocks}",
        )
    blocks = range(n_blocks - k, n_blocks) if end == "top" else range(k)
    return lambda block, _part: block in blocks
