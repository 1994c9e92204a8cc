"""Measure which kinds of tokens attention heads attend to: attention probabilities, summed over each kind.

Only the plain ("eager") implementation of attention returns probabilities. The measurement runs the model with it, and
checks that the vectors are those of the model's usual implementation.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from retroscope.attribution.heads.sites import find_heads
from retroscope.attribution.integrals.trace import pool
from retroscope.encoders.batches import batches_by_length
from retroscope.encoders.checks.selftest import tolerance
from retroscope.encoders.encode import Batch, TokenIds, model_inputs, pad
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.token_budgets import ATTRIBUTION
from retroscope.errors import EncoderError

# Of each pair (token that attends, token attended to) the first that fits; together they are all of the attention.
TOKEN_KINDS = ("special", "subject", "itself", "neighbour", "repeated", "other")
ATTENDING = ("all", "pooled")  # tokens that attend: all real ones, or those that the pooling reads
EAGER = "eager"


@dataclass(frozen=True, eq=False)
class AttentionByKind:
    """How much of a head's attention goes to each kind of token in `TOKEN_KINDS`, averaged over tokens.

    Attributes:
        shares: share of every head's attention that goes to each kind of token, in every text. The shares of all kinds
            sum to 1.
        uniform: the same shares for a head that attends equally to all tokens that it can see.
        gap: largest relative distance between a text's vectors by the eager and by the usual implementation.
        limit: largest value of `gap` that is allowed.
    """

    shares: Float[np.ndarray, "text attending layer head kind"]
    uniform: Float[np.ndarray, "text attending kind"]
    gap: float
    limit: float


def attention_by_kind(
    encoder: Encoder, rows: Sequence[TokenIds], subjects: Sequence[Sequence[TokenIds]] = ()
) -> AttentionByKind:
    """Measure how much every attention head attends to each kind of token, e.g. special tokens, in some texts.

    Args:
        rows: token ids of each text.
        subjects: for each text, the token ids of its subject's name (from `name_tokens`). Without them, no token is of
            the kind "subject".

    Raises:
        EncoderError: if the eager implementation returns no probabilities, or changes the vectors.
    """
    sites = find_heads(encoder)
    shape = (len(rows), len(ATTENDING), len(sites.paths), sites.heads, len(TOKEN_KINDS))
    shares, uniform = np.zeros(shape), np.zeros((*shape[:2], shape[-1]))
    gap, limit = 0.0, tolerance(encoder)
    for some in batches_by_length([len(row) for row in rows], ATTRIBUTION[encoder.device.type]):
        batch = pad(encoder, [rows[i] for i in some])
        vectors, probabilities = _seen(encoder, batch)
        gap = max(gap, _gap(vectors, _usual(encoder, batch)))
        kinds = torch.stack([_kinds(encoder, batch, place, subjects[i] if subjects else ())
                             for place, i in enumerate(some)])  # fmt: skip
        shares[some], uniform[some] = _summed(probabilities, kinds, batch, causal=encoder.anatomy.causal)
    if gap > limit:
        raise EncoderError(
            f"the attention implementation {EAGER!r} changes the vectors by {gap:.2g} (relative), but at most "
            f"{limit:.2g} is allowed",
            where=encoder.name,
            fix="load the model in float32, or do not measure attention (heads.attention=false)",
        )
    return AttentionByKind(shares, uniform, gap, limit)


@contextmanager
def eager_attention(encoder: Encoder) -> Iterator[None]:
    """Compute attention by the eager implementation, which returns probabilities, while the context is open."""
    model = encoder.backbone
    usual = model.config._attn_implementation
    model.set_attn_implementation(EAGER)
    try:
        yield
    finally:
        model.set_attn_implementation(usual)


@torch.inference_mode()
def _seen(encoder: Encoder, batch: Batch) -> tuple[Float[Tensor, "text dim"], list[Float[Tensor, "text head from to"]]]:
    """Return the pooled vectors of a batch, and the attention probabilities of every block."""
    inputs = model_inputs(encoder, batch)
    with eager_attention(encoder):
        output = encoder.backbone(**inputs, output_hidden_states=True, output_attentions=True)
    probabilities = [block for block in (output.attentions or ()) if block is not None]
    if len(probabilities) != encoder.anatomy.n_blocks:
        raise EncoderError(
            f"the model returns the attention of only {len(probabilities)} of its {encoder.anatomy.n_blocks} blocks",
            where=encoder.name,
            fix="do not measure attention (heads.attention=false)",
        )
    return pool(encoder, output.hidden_states[-1], batch.pooled), probabilities


@torch.inference_mode()
def _usual(encoder: Encoder, batch: Batch) -> Float[Tensor, "text dim"]:
    hidden = encoder.backbone(**model_inputs(encoder, batch), output_hidden_states=True).hidden_states[-1]
    return pool(encoder, hidden, batch.pooled)


def _gap(vectors: Float[Tensor, "text dim"], usual: Float[Tensor, "text dim"]) -> float:
    return float(((vectors - usual).norm(dim=-1) / usual.norm(dim=-1).clamp(min=1e-12)).max())


def _kinds(encoder: Encoder, batch: Batch, place: int, subjects: Sequence[TokenIds]) -> Int[Tensor, "from to"]:
    """Return the kind of every pair (attending token, attended token) of one text, as an index into `TOKEN_KINDS`.

    Args:
        place: index of the text in the batch.
        subjects: token ids of the text's subject, in several spellings.
    """
    ids = batch.ids[place].cpu()
    at = torch.arange(len(ids))
    kinds = torch.full((len(ids), len(ids)), TOKEN_KINDS.index("other"))
    kinds[ids[:, None] == ids[None, :]] = TOKEN_KINDS.index("repeated")
    kinds[(at[:, None] - at[None, :]).abs() == 1] = TOKEN_KINDS.index("neighbour")
    kinds[at, at] = TOKEN_KINDS.index("itself")
    kinds[:, _named(ids.tolist(), subjects)] = TOKEN_KINDS.index("subject")
    tokenizer = encoder.tokenizer
    special = torch.tensor([i for i in tokenizer.all_special_ids if i != tokenizer.unk_token_id] or [-1])
    kinds[:, torch.isin(ids, special)] = TOKEN_KINDS.index("special")
    return kinds


def _named(ids: TokenIds, subjects: Sequence[TokenIds]) -> Bool[Tensor, "token"]:
    """Mark the tokens of a text that belong to an occurrence of a subject's name."""
    named = torch.zeros(len(ids), dtype=torch.bool)
    for subject in subjects:
        for start in range(len(ids) - len(subject) + 1):
            if subject and ids[start : start + len(subject)] == list(subject):
                named[start : start + len(subject)] = True
    return named


def name_tokens(encoder: Encoder, name: str) -> list[TokenIds]:
    """Return two lists of token ids of a name: at the beginning of a text, and after a space."""
    texts = (name, f" {name}")
    return [encoder.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


def _summed(
    seen: Sequence[Float[Tensor, "text head from to"]],
    kinds: Int[Tensor, "text from to"],
    batch: Batch,
    *,
    causal: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of attention by kind of token for each head, and the shares of uniform attention.

    Args:
        seen: attention probabilities of every block.
        kinds: kind of each pair of tokens, an index into `TOKEN_KINDS`.
        causal: whether a token attends only to itself and earlier tokens.
    """
    mask = batch.mask.cpu()
    real = mask[:, :, None] & mask[:, None, :]
    visible = real.tril() if causal else real
    each = torch.nn.functional.one_hot(kinds, len(TOKEN_KINDS)).double() * visible[..., None]
    count = visible.sum(-1, keepdim=True).clamp(min=1)
    uniform = each.sum(2) / count
    attending = torch.stack([mask, batch.pooled.cpu()], dim=1).double()
    weights = attending / attending.sum(-1, keepdim=True)
    layers = [torch.einsum("naf,nhft,nftk->nahk", weights, block.cpu().double(), each) for block in seen]
    return torch.stack(layers, dim=2).numpy(), torch.einsum("naf,nfk->nak", weights, uniform).numpy()
