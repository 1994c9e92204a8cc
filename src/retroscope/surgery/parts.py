"""Names of the parts of a backbone that can be re-initialised. No torch."""

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
"""Takes block and part of the anatomy of a parameter; returns whether it is re-initialised."""


def check_parts(parts: tuple[str, ...], n_blocks: int = 10**6) -> None:
    """Refuse words that do not name a part of any model."""
    for word in parts:
        part_filter(word, n_blocks)


def part_filter(word: str, n_blocks: int) -> PartFilter:
    """Return the function that selects the parameters which a word names.

    Raises:
        SettingsError: if it names no part, or more blocks than there are.
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
        raise SettingsError(f"{word!r} names no block", fix=f"give a number of blocks from 1, e.g. {end}:1")
    if k > n_blocks:
        raise SettingsError(
            f"{word!r} names {k} blocks, but the model has {n_blocks} blocks",
            fix=f"give {end}:1 to {end}:{n_blocks}",
        )
    blocks = range(n_blocks - k, n_blocks) if end == "top" else range(k)
    return lambda block, _part: block in blocks
