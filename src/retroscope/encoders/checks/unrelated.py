"""Unrelated sentences, to measure how similar a model makes texts that have nothing in common."""

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.encoders.encode import encode_layers
from retroscope.encoders.encoder import Encoder

# Twelve sentences about unrelated things: 66 pairs that no retriever should find similar.
UNRELATED = (
    "where is the oldest library in the world",
    "The recipe calls for two eggs, a cup of flour and a pinch of salt.",
    "Interest rates rose for the third time this year.",
    "photosynthesis turns light into sugar",
    "He tuned the violin before the concert began.",
    "The striker scored twice in the last ten minutes.",
    "Install the package and restart the server.",
    "A glacier carved this valley long ago.",
    "symptoms of iron deficiency",
    "The court ruled that the contract was void.",
    "My grandmother grew roses behind the house.",
    "The train to Lisbon leaves from platform four.",
)
NARROW = 0.9  # cosine: an angle of 26 degrees
# Rise of the mean cosine of unrelated sentences by fine-tuning. Over 66 pairs of 12 texts the mean errs by about
# sd sqrt(2 / 12), .03 to .1 for the models that were looked at (sd .06 to .25). Set after MiniLM -> SRE-MiniLM (+.39).
RISE = 0.2


def unrelated_cosines(encoder: Encoder) -> Float[Tensor, "pair"]:
    """Return the cosine of the final vectors of every pair of sentences in `UNRELATED`."""
    vectors = torch.nn.functional.normalize(encode_layers(encoder, UNRELATED).final, dim=-1)
    rows, columns = torch.triu_indices(len(UNRELATED), len(UNRELATED), offset=1)
    return (vectors @ vectors.T)[rows, columns]
