"""Pooling functions: from token states and a mask to one vector for each text.

Every function but `last_column` reads real tokens only, so padding on either side changes nothing.

To add a pooling: its function and a line of `POOLINGS` here, and its name in `encoders.settings.POOLING_NAMES` (see
docs/how-to/add-a-pooling.md).
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from retroscope.encoders.encoder import Encoder
from retroscope.errors import EncoderError, excerpt, unknown_name

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
    """Return the state in the last column of the padded batch, which is padding if the tokenizer pads on the right.

    Only the protocol `ielab-2025` uses this pooling, as the published study does.
    """
    return hidden[:, -1]


def mean(hidden: Hidden, mask: Mask) -> Pooled:
    """Return the mean of the states of real tokens."""
    weights = mask.to(hidden.dtype)
    return _weighted(hidden, weights) / weights.sum(dim=1, keepdim=True)


def mean_sqrt_len(hidden: Hidden, mask: Mask) -> Pooled:
    """Return the sum of the states of real tokens, divided by the square root of their number."""
    weights = mask.to(hidden.dtype)
    return _weighted(hidden, weights) / weights.sum(dim=1, keepdim=True).sqrt()


def weighted_mean(hidden: Hidden, mask: Mask, skipped: int = 0) -> Pooled:
    """Return the mean of the states of real tokens, the i-th weighted by i (SGPT, arXiv 2202.08904, equation 2).

    Args:
        skipped: number of prompt tokens before the tokens of the mask. The weights i start at `skipped` + 1.
    """
    weights = ((mask.cumsum(dim=1) + skipped) * mask).to(hidden.dtype)
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
    "mean_sqrt_len": mean_sqrt_len,
}

ONE_TOKEN = frozenset({"cls", "pooler", "last_token", "last_column"})  # poolings that read one token
# Poolings that are linear in the token states: a direction that is erased from all states is not in the vector either.
LINEAR = ONE_TOKEN | {"mean", "weighted_mean", "mean_sqrt_len"}

JOIN = "+"  # between the poolings of one recipe whose vectors stand side by side


def pooling(name: str, skipped: int = 0) -> Pooling:
    """Return the pooling function that is called `name`. For "cls+mean", it concatenates the vectors of both poolings.

    Args:
        skipped: number of prompt tokens, if they are not pooled. `weighted_mean` still counts their positions, as
            sentence-transformers does.
    """
    parts = name.split(JOIN)
    for part in parts:
        if part not in POOLINGS or (len(parts) > 1 and part == "pooler"):
            raise unknown_name("pooling", part, [p for p in POOLINGS if len(parts) == 1 or p != "pooler"])
    pools = [partial(weighted_mean, skipped=skipped) if part == "weighted_mean" else POOLINGS[part] for part in parts]
    if len(parts) == 1:
        return pools[0]
    return lambda hidden, mask: torch.cat([pool(hidden, mask) for pool in pools], dim=1)


def pooling_of(encoder: Encoder) -> Pooling:
    """Return the pooling function of an encoder's recipe."""
    return pooling(encoder.recipe.pooling, 0 if encoder.recipe.pool_prompt else prompt_length(encoder))


def prompt_length(encoder: Encoder) -> int:
    """Count the tokens of the prompt as sentence-transformers does: with special tokens before it, not after it."""
    ids = _prompt_ids(encoder)
    return len(ids) - (1 if ids and ids[-1] in encoder.tokenizer.all_special_ids else 0)


def _prompt_ids(encoder: Encoder) -> list[int]:
    ids: list[int] = encoder.tokenizer(encoder.recipe.prompt)["input_ids"] if encoder.recipe.prompt else []
    return ids


def skipped_tokens(encoder: Encoder, rows: Sequence[list[int]]) -> int:
    """Return how many leading tokens of a text are not pooled: those of the prompt, if the recipe excludes it.

    Args:
        rows: token ids of texts, the prompt's included.

    Raises:
        EncoderError: if a text has no token to pool.
    """
    recipe = encoder.recipe
    length = 0 if recipe.pool_prompt else prompt_length(encoder)
    row = next((row for row in rows if len(row) <= length), None)
    if row is None:
        return length
    if length >= recipe.max_length:
        raise EncoderError(
            f"the prompt fills the maximum length of {recipe.max_length} tokens, so no token of the text remains",
            where=encoder.name,
            fix="raise max_length (--max-length), or shorten the prompt (--query-prompt, --passage-prompt)",
        )
    empty = row == _prompt_ids(encoder)
    reason = "the text is empty" if empty else "the tokenizer merges the prompt's last token with the text"
    alternative = "" if empty else ", or use a prompt that does not end with a space (--query-prompt, --passage-prompt)"
    raise EncoderError(
        f"{excerpt(encoder.tokenizer.decode(row))} has no token to pool, because {reason}: all {len(row)} tokens "
        f"belong to the prompt {excerpt(recipe.prompt)}, and this model does not pool the prompt",
        where=encoder.name,
        fix=f"remove this text{alternative}",
    )
