"""The random-weight twin: the same architecture, tokenizer and recipe with nothing learned. A control."""

import copy
from dataclasses import replace
from typing import overload

import torch
from torch import nn
from transformers import PreTrainedModel

from retroscope.encoders.anatomy import prove_anatomy
from retroscope.encoders.checkpoints.backbones import new_backbone
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.encoder import Encoder, LoadingProof, Retriever
from retroscope.encoders.loading import freeze, look_both_ways


@overload
def random_twin(of: Encoder, seed: int) -> Encoder: ...
@overload
def random_twin(of: Retriever, seed: int) -> Retriever: ...
def random_twin(of: Encoder | Retriever, seed: int) -> Encoder | Retriever:
    """Build it afresh, weights drawn by the architecture's own initialisation; towers that share weights still do."""
    if isinstance(of, Encoder):
        return _twin(of, seed)
    query = _twin(of.query, seed)
    if of.passage is of.query:
        return replace(of, name=query.name, query=query, passage=query)
    if of.passage.backbone is of.query.backbone:
        passage = replace(query, recipe=of.passage.recipe)
    else:
        passage = _twin(of.passage, seed + 1)
    return replace(of, name=_name(of.name, seed), query=query, passage=passage)


def _twin(encoder: Encoder, seed: int) -> Encoder:
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        backbone = _rebuilt(encoder.backbone)
        head = _redrawn(encoder.head)
    if encoder.recipe.causal is False:
        look_both_ways(backbone)
    freeze(backbone).to(encoder.device)
    proof = LoadingProof(f"random weights, seed {seed}", loaded=0, notes=(f"twin of {encoder.proof.source}",))
    name = _name(encoder.name, seed)
    anatomy = prove_anatomy(backbone)
    return replace(encoder, name=name, backbone=backbone, head=head, proof=proof, anatomy=anatomy)


def _rebuilt(backbone: PreTrainedModel) -> PreTrainedModel:
    pooler = "pooler" in dict(backbone.named_children())
    return new_backbone(backbone.config, type(backbone), pooler=pooler).to(backbone.dtype)


def _redrawn(head: nn.Module) -> nn.Module:
    """Redraw a head's learned layers; normalisation has nothing to redraw."""
    head = copy.deepcopy(head)
    for module in head.modules():
        if isinstance(module, nn.Linear | nn.LayerNorm):
            module.reset_parameters()
    return freeze(head)


def _name(name: str, seed: int) -> str:
    return f"{name} (random, seed {seed})"
