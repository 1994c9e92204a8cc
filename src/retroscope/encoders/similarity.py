"""Similarities of two vectors, each defined by a transform before the dot product."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

TextVectors = Float[Tensor, "text dim"]


def unit_length(vectors: TextVectors) -> TextVectors:
    """Return the vectors divided by their lengths. A zero vector stays zero."""
    return normalize(vectors, dim=1)


def unchanged(vectors: TextVectors) -> TextVectors:
    """Return the vectors as they are."""
    return vectors


SIMILARITIES: dict[str, Callable[[TextVectors], TextVectors]] = {"cosine": unit_length, "dot": unchanged}
