"""Make the random-weight control: a copy with the same architecture, tokenizer and recipe, but random weights."""

import copy
from dataclasses import replace
from typing import overload

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from retroscope.encoders.architecture.anatomy import prove_anatomy
from retroscope.encoders.checkpoints.backbones import new_backbone
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.checks.proofs import LoadingProof
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.loading import freeze, load_encoder, look_both_ways
from retroscope.encoders.settings import EncoderSource

# The seed of a training often seeds the first weights, too: under the same bare seed the copy would be the model before
# its training, which is no control. It is then drawn from a stream of its own.
STREAM = 0xC0
ENTRIES = 2**16  # of a matrix that are compared
UNRELATED = 5.0  # standard errors by which the correlation of unrelated weights may differ from 0


@overload
def with_random_weights(of: Encoder, seed: int) -> Encoder: ...
@overload
def with_random_weights(of: Retriever, seed: int) -> Retriever: ...
def with_random_weights(of: Encoder | Retriever, seed: int) -> Encoder | Retriever:
    """Return a copy with weights from the architecture's own random initialisation.

    Towers that share weights in the original share them in the copy. The global random state is not changed.

    Args:
        of: an encoder, or a retriever with both its towers.
        seed: seed of the random weights. A passage tower with weights of its own uses `seed + 1`. If the seed gives the
            weights with which the model's own training began, other weights are drawn, and a note in `Encoder.proof`
            says so.
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
    """Load the encoder that `Encoder.source` describes, e.g. in another process than the one that first loaded it."""
    encoder = load_encoder(source.source, source.settings, tower=source.tower)
    return encoder if source.random_weights is None else with_random_weights(encoder, source.random_weights)


def _copy(encoder: Encoder, seed: int) -> Encoder:
    backbone, head = _drawn(encoder, seed)
    notes = [f"random-weight copy of {encoder.proof.source}"]
    relation = _relation(encoder.backbone, backbone)
    if relation > UNRELATED:
        redrawn = _drawn(encoder, int(np.random.SeedSequence([seed, STREAM]).generate_state(1)[0]))
        again = _relation(encoder.backbone, redrawn[0])
        # Matrices that an architecture does not draw, such as sinusoidal positions, are alike in both draws.
        if again <= UNRELATED or relation - again > UNRELATED:
            backbone, head = redrawn
            notes.append(f"seed {seed} gives the weights with which this model's training began; others were drawn")
    if encoder.recipe.causal is False:
        look_both_ways(backbone)
    freeze(backbone).to(encoder.device)
    proof = LoadingProof(f"random weights, seed {seed}", loaded=0, notes=tuple(notes))
    name = _name(encoder.name, seed)
    anatomy = prove_anatomy(backbone)
    source = None if encoder.source is None else encoder.source.randomised(seed)
    return replace(encoder, name=name, backbone=backbone, head=head, proof=proof, anatomy=anatomy, source=source)


def _drawn(encoder: Encoder, seed: int) -> tuple[PreTrainedModel, nn.Module]:
    """Return an encoder's backbone and head with random weights. The global random state is not touched."""
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        return _rebuilt(encoder.backbone), _reinitialised(encoder.head)


@torch.no_grad()
def _relation(trained: PreTrainedModel, drawn: PreTrainedModel) -> float:
    """Return a z-score for the correlation of two models' matrices: standard normal if they are unrelated."""
    own, scores = dict(trained.named_parameters()), []
    for name, matrix in drawn.named_parameters():
        if matrix.dim() > 1:
            values, trained_values = (m.flatten()[:ENTRIES].double().cpu() for m in (matrix, own[name]))
            length = torch.linalg.vector_norm(values) * torch.linalg.vector_norm(trained_values)
            if length > 0:
                scores.append(float(values @ trained_values / length) * len(values) ** 0.5)
    return sum(scores) / len(scores) ** 0.5 if scores else 0.0


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
