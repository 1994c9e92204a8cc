"""Embed texts as the published study did for its neuron counts (arXiv 2505.07166), defects included."""

from dataclasses import replace
from inspect import signature

import torch
from torch import nn

from retroscope.encoders.encode import Batch
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.final_modules import Normalize
from retroscope.encoders.recipe import Recipe
from retroscope.errors import unknown_name

PROTOCOL = "protocol ielab-2025 (neurons)"
MAX_LENGTH = 256
# Tower -> what stands before an EOS text: of the published targets `question` and `positive_context`.
WRAPPING = {"query": "query: ", "passage": "passage: "}


def published_encoder(encoder: Encoder, tower: str | None = None) -> Encoder:
    """Return the same encoder with the pooling, prompt and maximum length that the published study used.

    With `cls` pooling, the vector is the output of the model's own pooler if it has one (BERT: tanh of a dense layer;
    DPR: none). With last-token pooling, texts become "query: TEXT</s>" on the query tower (the published target
    `question`) and "passage: TEXT</s>" on the passage tower (`positive_context`). They are padded on the left, and the
    vector is that of the last column. Batches are padded to their longest text, at most 256 tokens. A maximum length or
    a prompt that the user set is not changed. Modules that a sentence-transformers folder applies after the pooling are
    left out, because the published code loads only the backbone. DPR's projection is part of its backbone.

    Args:
        tower: "query" or "passage". If None, it is "query" if the recipe's prompt is "query: ", as after
            `load_encoder(..., tower="query")` under this protocol, else "passage".

    Raises:
        SettingsError: if there is no such tower.
    """
    recipe = encoder.recipe
    tower = tower or ("query" if recipe.prompt == WRAPPING["query"] else "passage")
    if tower not in WRAPPING:
        raise unknown_name("tower", tower, WRAPPING)
    if not _by_user(recipe, "max_length"):
        recipe = recipe.but(PROTOCOL, max_length=MAX_LENGTH)
    recipe = recipe.but(PROTOCOL, pad_to_max=False)
    if recipe.pooling == "cls" and "pooler" in dict(encoder.backbone.named_children()):
        recipe = recipe.but(PROTOCOL, pooling="pooler")
    if recipe.pooling in ("last_token", "last_column"):
        recipe = recipe.but(PROTOCOL, pooling="last_column", padding_side="left", suffix="</s>", append_eos=False)
        recipe = recipe if _by_user(recipe, "prompt") else recipe.but(PROTOCOL, prompt=WRAPPING[tower])
    modules = [module for module in encoder.head.children() if isinstance(module, (nn.Linear, Normalize))]
    if len(modules) < len(list(encoder.head.children())):
        names = tuple("dense" if isinstance(module, nn.Linear) else "normalize" for module in modules)
        return replace(encoder, recipe=recipe.but(PROTOCOL, head=names), head=nn.Sequential(*modules))
    return replace(encoder, recipe=recipe)


def published_doubts(encoder: Encoder) -> list[str]:
    """Return a warning if the published neuron counts use a pooler whose weights this encoder's checkpoint lacks.

    The list is empty if there is no reason to warn.
    """
    family = type(encoder.backbone)
    has_pooler = "pooler" in dict(encoder.backbone.named_children())
    builds_pooler = "add_pooling_layer" in signature(family).parameters and encoder.backbone.config.model_type != "dpr"
    if encoder.recipe.pooling != "cls" or has_pooler or not builds_pooler:
        return []
    return [
        "the checkpoint has no weights of the pooler: neurons are counted with the vector of the first token; the "
        "published code uses a pooler with random weights, so its counts differ from run to run"
    ]


def _by_user(recipe: Recipe, field: str) -> bool:
    return recipe.sources.get(field, "").startswith("user")


def with_padding_read(encoder: Encoder, batch: Batch) -> Batch:
    """Return the batch with padding treated like real tokens by pooling and positions, as in the published code.

    The vector of a text therefore depends on the other texts of the batch. Padding tokens are part of the mean. CLS is
    the first column of the batch, and positions are counted by column. If a tokenizer pads on the left, the first
    column is padding in all but the longest texts, and positions are shifted.
    """
    reads = encoder.recipe.pooling in ("mean", "cls", "pooler")
    return replace(batch, pooled=torch.ones_like(batch.pooled) if reads else batch.pooled, padding_counts=True)
