"""The published study's way of embedding a text for its neuron counts (arXiv 2505.07166), quirks included."""

from dataclasses import replace

import torch

from retroscope.encoders.encode import Batch
from retroscope.encoders.encoder import Encoder

PROTOCOL = "protocol ielab-2025 (neurons)"
MAX_LENGTH = 256


def published_encoder(encoder: Encoder) -> Encoder:
    """The same weights under the published recipe.

    CLS is the model's own pooler where it has one (BERT: tanh of a dense layer; DPR: none). EOS texts are wrapped
    as "passage: TEXT</s>" on either tower and read in the last column. Batches are padded to their longest text.
    """
    recipe = encoder.recipe
    if not recipe.sources.get("max_length", "").startswith("user"):
        recipe = recipe.but(PROTOCOL, max_length=MAX_LENGTH)
    recipe = recipe.but(PROTOCOL, pad_to_max=False)
    if recipe.pooling == "cls" and "pooler" in dict(encoder.backbone.named_children()):
        recipe = recipe.but(PROTOCOL, pooling="pooler")
    if recipe.pooling in ("last_token", "last_column"):
        wrapped = {"prompt": "passage: ", "suffix": "</s>", "append_eos": False, "padding_side": "left"}
        recipe = recipe.but(PROTOCOL, pooling="last_column", **wrapped)
    return replace(encoder, recipe=recipe)


def with_padding_pooled(encoder: Encoder, batch: Batch) -> Batch:
    """The batch as the published mean pooling reads it: padding counts like text, so the batch is part of it."""
    if encoder.recipe.pooling != "mean":
        return batch
    return replace(batch, pooled=torch.ones_like(batch.pooled))


def published_document(
    counts: dict[str, list[int]], *, model: str, encoder_type: str, threshold: float
) -> dict[str, object]:
    """The published file: counts of each FFN matrix, named `layer_0_intermediate` ... from block 0."""
    return {"model": model, "encoder_type": encoder_type, "alpha": 20, "threshold": threshold, "attributions": counts}
