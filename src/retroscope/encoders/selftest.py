"""Self-tests: what must not change a vector, tried on the spot with the model at hand."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.encoders.encode import forward, pad, tokenise
from retroscope.encoders.encoder import Encoder

SENTENCES = (
    "where is the oldest library in the world",
    "A library is a collection of books.",
    "The city was rebuilt after the flood of 1910, which had carried away both bridges and most of the mills along "
    "the river; the new quarter stands a little higher, and its streets are wider than those that they replaced.",
    "red",
)


@dataclass(frozen=True)
class SelfTest:
    """The outcome of one test.

    Attributes:
        value: largest difference of a vector, relative to its length.
        tolerance: float rounding over all blocks; more than this is a fault.
    """

    name: str
    passed: bool
    value: float
    tolerance: float
    detail: str


@torch.inference_mode()
def self_test(encoder: Encoder) -> list[SelfTest]:
    """Try every test of `SELF_TESTS` on a few sentences."""
    rows = tokenise(encoder, SENTENCES)
    alone = torch.cat([forward(encoder, pad(encoder, [row])).layers for row in rows])
    limit = tolerance(encoder)
    results = []
    for name, (detail, vectors) in SELF_TESTS.items():
        value = _relative(vectors(encoder, rows), alone)
        results.append(SelfTest(name, value <= limit, value, limit, detail))
    return results


def tolerance(encoder: Encoder) -> float:
    """Rounding that a change of batch shape may cause: eps of the weights x sqrt(dim) x (blocks + 1).

    A dot product of length dim errs by about eps sqrt(dim) relative to its terms, and each block adds its own.
    """
    config = encoder.backbone.config
    return float(torch.finfo(encoder.backbone.dtype).eps * config.hidden_size**0.5 * (encoder.anatomy.n_blocks + 1))


def _relative(found: Float[Tensor, "text layer dim"], expected: Float[Tensor, "text layer dim"]) -> float:
    gap = (found - expected).abs().amax(dim=-1) / expected.norm(dim=-1).clamp(min=1e-12)
    return float(gap.max()) if bool(torch.isfinite(gap).all()) else float("inf")


Rows = list[list[int]]
Vectors = Float[Tensor, "text layer dim"]


def _batched(encoder: Encoder, rows: Rows) -> Vectors:
    return forward(encoder, pad(encoder, rows)).layers


def _padded_right(encoder: Encoder, rows: Rows) -> Vectors:
    return forward(encoder, pad(encoder, rows, side="right", extra=5)).layers


def _padded_left(encoder: Encoder, rows: Rows) -> Vectors:
    return forward(encoder, pad(encoder, rows, side="left", extra=5)).layers


SELF_TESTS: dict[str, tuple[str, Callable[[Encoder, Rows], Vectors]]] = {
    "batch": ("a text's vectors alone and in a batch", _batched),
    "padding_right": ("with five more columns of padding on the right", _padded_right),
    "padding_left": ("with five more columns of padding on the left", _padded_left),
}
