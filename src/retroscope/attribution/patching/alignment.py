"""Align a clean with a corrupted text, i.e. find which tokens are equal, and which tokens replace each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from retroscope.encoders.encode import Batch, TokenIds

# Tokens whose activations are patched: those that the corruption changed, all others, or all.
PATCHED = ("changed", "rest", "all")


@dataclass(frozen=True)
class AlignedTexts:
    """Token ids of a clean and a corrupted text, with the lengths of their common beginning and end.

    Attributes:
        first: how many tokens at the beginning are the same in both texts.
        last: how many tokens at the end are the same in both texts, without those in `first`.
    """

    clean: TokenIds
    corrupted: TokenIds
    first: int
    last: int

    @property
    def in_place(self) -> bool:
        """Return whether both texts have equally many tokens, so that each changed token has a counterpart."""
        return len(self.clean) == len(self.corrupted)

    def pairs(self, tokens: str) -> list[tuple[int, int]]:
        """Return pairs (position in the clean text, position in the corrupted text) of corresponding tokens.

        Args:
            tokens: "changed" (tokens that the corruption replaced), "rest" (tokens that are equal) or "all".
        """
        end, other = len(self.clean) - self.last, len(self.corrupted) - self.last
        rest = [(i, i) for i in range(self.first)] + [(end + i, other + i) for i in range(self.last)]
        changed = [(i, i) for i in range(self.first, end)] if self.in_place else []
        return {"changed": changed, "rest": rest, "all": sorted(changed + rest)}[tokens]


def align_texts(clean: TokenIds, corrupted: TokenIds) -> AlignedTexts:
    """Align two texts by the longest common beginning, then by the longest common end."""
    shorter = min(len(clean), len(corrupted))
    first = next((i for i in range(shorter) if clean[i] != corrupted[i]), shorter)
    room = shorter - first
    last = next((i for i in range(room) if clean[-1 - i] != corrupted[-1 - i]), room)
    return AlignedTexts(clean, corrupted, first, last)


def sources(aligned: Sequence[AlignedTexts], tokens: str, clean: Batch, corrupted: Batch) -> Int[Tensor, "text token"]:
    """Return, for every token of the corrupted batch, the position of its counterpart in the clean batch.

    A token has -1 if it has no counterpart, or if it is not among the `tokens` ("changed", "rest" or "all").
    """
    positions = torch.full(corrupted.ids.shape, -1, dtype=torch.long)
    starts = [batch.mask.long().argmax(dim=1).tolist() for batch in (clean, corrupted)]  # padding on the left
    for text, alignment in enumerate(aligned):
        for source, place in alignment.pairs(tokens):
            positions[text, starts[1][text] + place] = starts[0][text] + source
    return positions.to(corrupted.ids.device)


def places(source: Int[Tensor, "text token"]) -> Int[Tensor, "text token"]:
    """Return each token's own position if it has a counterpart in the clean text, else -1.

    Args:
        source: the positions of the counterparts, from `sources`.
    """
    own = torch.arange(source.shape[1], device=source.device).expand_as(source)
    return torch.where(source >= 0, own, source)
