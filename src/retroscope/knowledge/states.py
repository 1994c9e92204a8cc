"""Compute the hidden states of chosen tokens at every layer, as in pre-training: without prompt and pooling."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.encoders.batches import batches_by_length
from retroscope.encoders.encode import TokenIds, final_norm
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.token_budgets import encoding_budget


@dataclass(frozen=True)
class ReadInput:
    """One model input (token ids) with the positions whose hidden states are needed.

    Attributes:
        ids: token ids, special tokens included.
        at: indices of the positions in `ids`.
    """

    ids: TokenIds
    at: tuple[int, ...]


@torch.inference_mode()
def states_at(
    encoder: Encoder, places: Sequence[ReadInput], on_batch: Callable[[int], None] | None = None
) -> Float[Tensor, "layer position dim"]:
    """Return the hidden states of every layer at the positions of all inputs, in their order, in float32 on the CPU.

    If the model has a final norm, it is applied to the states of every layer. (The model itself applies it to the last
    layer only.)

    Args:
        places: model inputs with positions.
        on_batch: called after each batch with its number of inputs.
    """
    starts = torch.tensor([0, *(len(place.at) for place in places)]).cumsum(0).tolist()
    norm = final_norm(encoder) if encoder.anatomy.post_norm else None
    states = torch.empty(encoder.anatomy.n_blocks + 1, starts[-1], encoder.width)
    for batch in batches_by_length([len(place.ids) for place in places], encoding_budget(encoder.device)):
        layers = _layers(encoder, [places[i].ids for i in batch])
        text = torch.tensor([row for row, i in enumerate(batch) for _ in places[i].at])
        token = torch.tensor([at for i in batch for at in places[i].at])
        to = torch.tensor([starts[i] + k for i in batch for k in range(len(places[i].at))])
        for number, layer in enumerate(layers):
            picked = layer[text.to(layer.device), token.to(layer.device)]
            below = norm is not None and number < encoder.anatomy.n_blocks
            states[number, to] = (norm(picked) if below and norm is not None else picked).float().cpu()
        if on_batch:
            on_batch(len(batch))
    return states


def _layers(encoder: Encoder, rows: Sequence[TokenIds]) -> tuple[Tensor, ...]:
    """Return the hidden states of every layer, (text, token, dim) each, for one batch of token ids."""
    ids = torch.full((len(rows), max(map(len, rows))), int(encoder.tokenizer.pad_token_id), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    extra = {"use_cache": False} if encoder.anatomy.layout.causal else {}
    output = encoder.backbone(
        input_ids=ids.to(encoder.device),
        attention_mask=mask.to(encoder.device),
        output_hidden_states=True,
        **extra,
    )
    layers: tuple[Tensor, ...] = output.hidden_states
    return layers
