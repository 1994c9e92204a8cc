"""A decoder on which only the final norm tells layers apart."""

from pathlib import Path

import torch

from retroscope.encoders.encode import final_norm
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from toys import save_toy


def idle_decoder(folder: Path, seed: int, name: str) -> Retriever:
    """Make a decoder whose blocks add nothing: every layer equals layer 0, and the last has a strong final norm."""
    retriever = load_retriever(save_toy("llama", folder, seed), pooling="mean", name=name)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in retriever.passage.backbone.named_parameters():
            if key.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
        weight = final_norm(retriever.passage).get_parameter("weight")
        weight.copy_(10 ** torch.empty(weight.shape).uniform_(-1.5, 1.5, generator=draw))
    return retriever
