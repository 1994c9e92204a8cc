"""Pooling functions: from token states and a mask to one vector for each text.

Every function but `last_column` reads real tokens only, so padding on either side changes nothing.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from retroscope.errors import unknown_name

Hidden = Float[Tensor, "text token dim"]
Mask = Bool[Tensor, "text token"]
Pooled = Float[Tensor, "text dim"]


def first_token(hidden: Hidden, mask: Mask) -> Pooled:
    """Return the state of the first real token ([CLS] in BERT-like models)."""
    first = mask.to(torch.int8).argmax(dim=1)
    return hidden[torch.arange(len(hidden), device=hidden.device), first]


def last_token(hidden: Hidden, mask: Mask) -> Pooled:
    """Return the state of the last real token, whichever side the padding is on."""
    last = mask.shape[1] - 1 - mask.flip(1).to(torch.int8).argmax(dim=1)
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


def last_column(hidden: Hidden, mask: Mask) -> Pooled:
    """Return the last column of the padded batch, which is padding if the tokenizer pads on the right.

    Only for the protocol `ielab-2025`, which was published with it.
    """
    return hidden[:, -1]


def mean(hidden: Hidden, mask: Mask) -> Pooled:
    """Return the mean of the states of real tokens."""
    weights = mask.to(hidden.dtype)
    return _weighted(hidden, weights) / weights.sum(dim=1, keepdim=True)


def weighted_mean(hidden: Hidden, mask: Mask) -> Pooled:
    """Return the mean of the states of real tokens, the i-th weighted by i (SGPT, arXiv 2202.08904, equation 2)."""
    weights = (mask.cumsum(dim=1) * mask).to(hidden.dtype)
    return _weighted(hidden, weights) / weights.sum(dim=1, keepdim=True)


def maximum(hidden: Hidden, mask: Mask) -> Pooled:
    """Return the largest value of each dimension over real tokens."""
    return hidden.masked_fill(~mask[:, :, None], -torch.inf).amax(dim=1)


def _weighted(hidden: Hidden, weights: Float[Tensor, "text token"]) -> Pooled:
    total = torch.bmm(weights[:, None, :], hidden)[:, 0]
    if bool(torch.isfinite(total).all()):
        return total
    # A padded state may be inf or NaN (rows that attend to nothing), and 0 * NaN is NaN. It is rare, and looking
    # at the sum is cheaper than clearing the padding of every layer.
    return torch.bmm(weights[:, None, :], hidden.masked_fill((weights == 0)[:, :, None], 0))[:, 0]


Pooling = Callable[[Hidden, Mask], Pooled]

POOLINGS: dict[str, Pooling] = {
    "cls": first_token,
    "pooler": first_token,  # the model's own pooler layer then follows, on the last layer only
    "mean": mean,
    "last_token": last_token,
    "last_column": last_column,
    "max": maximum,
    "weighted_mean": weighted_mean,
}

ONE_TOKEN = frozenset({"cls", "pooler", "last_token", "last_column"})  # poolings that read one token

JOIN = "+"  # between the poolings of one recipe whose vectors stand side by side


def pooling(name: str) -> Pooling:
    """Return the pooling function of a name; for "cls+mean", of both vectors side by side."""
    parts = name.split(JOIN)
    for part in parts:
        if part not in POOLINGS or (len(parts) > 1 and part == "pooler"):
            raise unknown_name("pooling", part, [p for p in POOLINGS if len(parts) == 1 or p != "pooler"])
    if len(parts) == 1:
        return POOLINGS[name]
    return lambda hidden, mask: torch.cat([POOLINGS[part](hidden, mask) for part in parts], dim=1)
