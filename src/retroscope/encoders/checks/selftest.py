"""Self-tests of an encoder: another batch, or more padding, must not change a vector."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.encoders.checks.proofs import SelfTest
from retroscope.encoders.encode import encode_layers, forward, pad, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.errors import EncoderError

EXTRA = 5  # columns of padding that must change nothing
SENTENCES = (
    "where is the oldest library in the world",
    "A library is a collection of books.",
    "The city was rebuilt after the flood of 1910, which had carried away both bridges and most of the mills along "
    "the river; the new quarter stands a little higher, and its streets are wider than those that they replaced.",
    "red",
)


@torch.inference_mode()
def self_test(encoder: Encoder) -> list[SelfTest]:
    """Test on a few sentences whether other batches or padding change a vector, by every test of `SELF_TESTS`.

    Each test encodes the sentences in one batch. The vectors of all layers are compared with those of every sentence
    encoded alone, without padding.
    """
    room = max(1, encoder.recipe.max_length - EXTRA)  # absolute positions may end at the maximum length
    rows = [row[:room] for row in tokenise(encoder, SENTENCES)]
    bare = _unpadded(encoder)
    alone = torch.cat([forward(bare, pad(bare, [row])).layers for row in rows])
    longest = encoder.recipe.max_length if encoder.recipe.pad_to_max else max(map(len, rows)) + EXTRA
    limit = tolerance(encoder) + position_tolerance(encoder, longest)
    results = []
    for name, (detail, vectors) in SELF_TESTS.items():
        value = largest_gap(vectors(encoder, rows), alone)
        results.append(SelfTest(name, value <= limit, value, limit, detail))
    return results


def tolerance(encoder: Encoder) -> float:
    """Return how far rounding may move a vector if the batch shape changes, as a fraction of its length.

    It is eps32 sqrt(dim) (blocks + 1) + 4 eps sqrt(blocks + 1), with the machine epsilons eps32 of float32 and eps of
    the weights' type. The two terms:

    - Sums. Whatever the weights' type, matrix products are accumulated in float32. A sum of dim terms taken in
      another order differs by about eps32 sqrt(dim). Every layer adds such a difference: blocks + 1 of them, at worst
      all in one direction.
    - Storage. What a block computes is rounded to the weights' type, about 8 times a block (attention's four matrices,
      the FFN's two, two sums). One rounding errs by at most eps / 2 of each coordinate, so in length by eps / 2. Two
      batch shapes round independently: 8 roundings differ by eps / 2 sqrt(2 x 8) = 2 eps, doubled for norms that
      amplify. The errors of blocks are also independent, which gives the factor sqrt(blocks + 1).

    In float32 the first term leads (12 blocks of 768: 4.5e-5), in half precision the second (float16: 1.4e-2,
    bfloat16: 0.11). Measured on all-MiniLM-L6-v2: rounding is a tenth of this in every precision, different texts
    are 0.66 or more apart at every layer, and the last column or shifted positions move a vector by 1 to 2.
    """
    dim, depth = encoder.backbone.config.hidden_size, encoder.anatomy.n_blocks + 1
    sums = torch.finfo(torch.float32).eps * dim**0.5 * depth
    storage = 4 * torch.finfo(encoder.backbone.dtype).eps * depth**0.5
    return float(sums + storage)


def position_tolerance(encoder: Encoder, longest: int) -> float:
    """Return how far rounding may move a vector if padding shifts its text, as a fraction of its length.

    This is eps32 n sqrt(blocks + 1), with the machine epsilon eps32 of float32 and n = `longest`.

    A rotary angle is position times frequency, at most the position, in float32: at position n it errs by eps32 n / 2,
    and the angle between two tokens by at most eps32 n. With other padding on the left a text has other positions and
    so other errors. The errors of the blocks are independent, as in `tolerance`.

    Args:
        longest: number of positions of the longest text, padding included.
    """
    return float(torch.finfo(torch.float32).eps * longest * (encoder.anatomy.n_blocks + 1) ** 0.5)


def largest_gap(vectors: Float[Tensor, "text layer dim"], expected: Float[Tensor, "text layer dim"]) -> float:
    """Return the largest distance between vectors that should be equal, relative to the length of the expected vector.

    It is infinite if a value is not finite.
    """
    gap = (vectors - expected).norm(dim=-1) / expected.norm(dim=-1).clamp(min=1e-12)
    return float(gap.max()) if bool(torch.isfinite(gap).all()) else float("inf")


def _unpadded(encoder: Encoder) -> Encoder:
    """Return a copy of the encoder that pads a batch only to its longest text, never to the maximum length."""
    return replace(encoder, recipe=replace(encoder.recipe, pad_to_max=False))


_Rows = list[list[int]]
_Vectors = Float[Tensor, "text layer dim"]


def _batched(encoder: Encoder, rows: _Rows) -> _Vectors:
    return forward(encoder, pad(encoder, rows)).layers


def _padded_right(encoder: Encoder, rows: _Rows) -> _Vectors:
    bare = _unpadded(encoder)
    return forward(bare, pad(bare, rows, side="right", extra=EXTRA)).layers


def _padded_left(encoder: Encoder, rows: _Rows) -> _Vectors:
    bare = _unpadded(encoder)
    return forward(bare, pad(bare, rows, side="left", extra=EXTRA)).layers


SELF_TESTS: dict[str, tuple[str, Callable[[Encoder, _Rows], _Vectors]]] = {
    "batch": ("a text's vectors alone and in a batch", _batched),
    "padding_right": ("with five more columns of padding on the right", _padded_right),
    "padding_left": ("with five more columns of padding on the left", _padded_left),
}


def check_told_apart(encoder: Encoder) -> None:
    """Refuse an encoder that gives unrelated texts the same vector, or zero vectors.

    Raises:
        EncoderError: if texts have equal vectors, because every ranking would then be by id alone.
    """
    vectors = encode_layers(encoder, SENTENCES).final
    if not bool(vectors.any()):
        problem = "every vector is 0"
    elif largest_gap(vectors[:, None], vectors[:1, None].expand(len(vectors), 1, -1)) <= tolerance(encoder):
        problem = f"different texts have one and the same vector, {SENTENCES[0]!r} and {SENTENCES[3]!r} among them"
    else:
        return
    raise EncoderError(
        f"the encoder cannot tell texts apart: {problem}",
        where=encoder.name,
        fix="run `retroscope doctor MODEL`; usual causes are a pooling that does not read the text, too small a "
        "max_length, and damaged weights",
    )
