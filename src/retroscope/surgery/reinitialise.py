"""Re-initialise parts of a backbone before fine-tuning, to measure how much retrieval gains from their pre-training.

After Tamkin et al. 2020 (arXiv 2004.14975) and Zhang et al. 2021 (arXiv 2006.05987), who re-initialise blocks before
fine-tuning.
"""

import copy
from dataclasses import replace

import numpy as np
import torch
from transformers import PreTrainedModel

from retroscope.encoders.architecture.anatomy import Anatomy, prove_anatomy
from retroscope.encoders.checkpoints.backbones import new_backbone
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.loading import freeze
from retroscope.errors import SettingsError
from retroscope.surgery.parts import PartFilter, part_filter

# Keeps these random numbers apart from all others: under a bare seed, the weights would be those with which the
# pre-training of a backbone under the same seed began. Restoring those is another experiment (rewinding).
STREAM = 0xAF


def reinitialise(of: Retriever, parts: tuple[str, ...], seed: int) -> Retriever:
    """Return a copy of a retriever with parts of its backbone re-initialised, by the architecture's own initialisation.

    Args:
        parts: names of parts: "all", "top:K" (the last K blocks), "bottom:K" (the first K blocks), "embeddings" (with
            their norm), "attention" (its projections), "ffn" or "norms". They may overlap.
        seed: seed of the new weights. A part's new weights do not depend on which other parts are re-initialised.

    Raises:
        SettingsError: if a name is unknown, if it selects more blocks than the model has, or if the towers do not share
            their weights.
    """
    if of.query.backbone is not of.passage.backbone:
        raise SettingsError(
            "the two towers do not share their weights, so there is no single backbone to re-initialise",
            where=of.name,
            fix="use a model with one backbone for both towers",
        )
    encoder = _reinitialised(of.passage, parts, seed)
    name = f"{of.name} ({', '.join(parts)} re-initialised, seed {seed})"
    return replace(of, name=name, query=replace(encoder, recipe=of.query.recipe), passage=encoder)


def _reinitialised(encoder: Encoder, parts: tuple[str, ...], seed: int) -> Encoder:
    filters = [part_filter(word, encoder.anatomy.n_blocks) for word in parts]
    model = copy.deepcopy(encoder.backbone)
    drawn = _draw(model, encoder.anatomy, filters, seed)
    note = f"{drawn} tensors re-initialised before training: {', '.join(parts)}, seed {seed}"
    proof = replace(encoder.proof, notes=(*encoder.proof.notes, note))
    freeze(model)
    return replace(encoder, backbone=model, anatomy=prove_anatomy(model), proof=proof)


@torch.no_grad()
def _draw(model: PreTrainedModel, anatomy: Anatomy, filters: list[PartFilter], seed: int) -> int:
    """Re-initialise the parameters that any filter selects, and return how many there are.

    Their new values are copied from a newly initialised model of the same architecture.
    """
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(int(np.random.SeedSequence([seed, STREAM]).generate_state(1)[0]))
        pooler = "pooler" in dict(model.named_children())
        fresh = dict(new_backbone(model.config, type(model), pooler=pooler).named_parameters())
    names = [name for name in fresh if any(wants(*anatomy.part_of(name)) for wants in filters)]
    own = dict(model.named_parameters())
    for name in names:
        own[name].copy_(fresh[name])
    return len(names)
