"""Make the random-weight control: a copy with the same architecture, tokenizer and recipe, but random weights."""

import copy
from dataclasses import replace
from typing import overload

import torch
from torch import nn
from transformers import PreTrainedModel

from retroscope.encoders.anatomy import prove_anatomy
from retroscope.encoders.checkpoints.backbones import new_backbone
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.checks.proofs import LoadingProof
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.loading import freeze, load_encoder, look_both_ways
from retroscope.encoders.settings import EncoderSource


@overload
def with_random_weights(of: Encoder, seed: int) -> Encoder: ...
@overload
def with_random_weights(of: Retriever, seed: int) -> Retriever: ...
def with_random_weights(of: Encoder | Retriever, seed: int) -> Encoder | Retriever:
    """Return a copy with weights from the architecture's own random initialisation.

    Towers that share weights in the original share them in the copy. The global random state is not changed.

    Args:
        of: an encoder, or a retriever with both its towers.
        seed: seed of the draw; a second tower that does not share its weights is drawn with `seed + 1`.
    """
    if isinstance(of, Encoder):
        return _copy(of, seed)
    query = _copy(of.query, seed)
    if of.passage is of.query:
        return replace(of, name=query.name, query=query, passage=query)
    if of.passage.backbone is of.query.backbone:
        source = None if of.passage.source is None else of.passage.source.randomised(seed)
        passage = replace(query, recipe=of.passage.recipe, source=source)
    else:
        passage = _copy(of.passage, seed + 1)
    return replace(of, name=_name(of.name, seed), query=query, passage=passage)


def load_again(source: EncoderSource) -> Encoder:
    """Load an encoder in this process from its source in another process."""
    encoder = load_encoder(source.source, source.settings, tower=source.tower)
    return encoder if source.random_weights is None else with_random_weights(encoder, source.random_weights)


def _copy(encoder: Encoder, seed: int) -> Encoder:
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        backbone = _rebuilt(encoder.backbone)
        head = _reinitialised(encoder.head)
    if encoder.recipe.causal is False:
        look_both_ways(backbone)
    freeze(backbone).to(encoder.device)
    note = f"random-weight copy of {encoder.proof.source}"
    proof = LoadingProof(f"random weights, seed {seed}", loaded=0, notes=(note,))
    name = _name(encoder.name, seed)
    anatomy = prove_anatomy(backbone)
    source = None if encoder.source is None else encoder.source.randomised(seed)
    return replace(encoder, name=name, backbone=backbone, head=head, proof=proof, anatomy=anatomy, source=source)


def _rebuilt(backbone: PreTrainedModel) -> PreTrainedModel:
    pooler = "pooler" in dict(backbone.named_children())
    return new_backbone(backbone.config, type(backbone), pooler=pooler).to(backbone.dtype)


def _reinitialised(head: nn.Module) -> nn.Module:
    """Return a copy of a head with its learned layers re-initialised."""
    head = copy.deepcopy(head)
    for module in head.modules():
        if isinstance(module, nn.Linear | nn.LayerNorm):
            module.reset_parameters()
    return freeze(head)


def _name(name: str, seed: int) -> str:
    return f"{name} (random, seed {seed})"
