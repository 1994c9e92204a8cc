"""Estimate the work of encoding in floating point operations, and measure this machine's speed.

Only matrix products in the blocks are counted: two operations for each weight and token, and in the attention of each
block four operations for each pair of tokens and each dimension (Kaplan et al. 2020, arXiv 2001.08361, table 1). The
time of everything else (norms, activations, pooling, padding) is part of the measured rate.
"""

from collections.abc import Sequence
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Int

from retroscope.encoders.batches import can_share
from retroscope.encoders.encode import final_vectors
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.precision import EXACT
from retroscope.encoders.token_budgets import encoding_budget

TIMED = {"cpu": 1e10}  # operations of a timed pass: a third of a second on one core; elsewhere a whole batch is timed
SHORTEST = 16  # tokens of a timed text, whatever the model
PASSES = 3  # that are timed
SIZE = 768  # of the matrices whose product is timed


def operations(encoder: Encoder, lengths: Sequence[int] | Int[np.ndarray, "text"]) -> float:
    """Count the floating point operations of one forward pass over texts with these numbers of tokens."""
    tokens = np.asarray(lengths, dtype=np.float64)
    if encoder.recipe.pad_to_max:
        tokens = np.full(len(tokens), float(encoder.recipe.max_length))
    return float((weight_operations(encoder) * tokens + pair_operations(encoder) * tokens**2).sum())


def weight_operations(encoder: Encoder) -> float:
    """Count the operations of all blocks for one token, without the attention between tokens."""
    blocks = encoder.anatomy.blocks(encoder.backbone)
    return 2.0 * sum(weight.numel() for block in blocks for weight in block.parameters() if weight.ndim > 1)


def pair_operations(encoder: Encoder) -> float:
    """Count the operations of the attention of all blocks for one pair of tokens."""
    return 4.0 * encoder.anatomy.n_blocks * encoder.width


def measured_rate(encoder: Encoder, lengths: Sequence[int] | Int[np.ndarray, "text"], precision: str = EXACT) -> float:
    """Return the operations per second of forward passes over made-up texts of typical length.

    The pass is timed `PASSES` times, and the median counts, so that other work which slows one pass down does not make
    the estimate of a study too long.

    Args:
        lengths: number of tokens of each text that will be encoded. The timed length is their median, weighted by
            tokens.
        precision: precision of the pass, a name in `encoders.precision.PRECISION_NAMES`.
    """
    length = _typical(np.asarray(lengths))
    batch = encoding_budget(encoder.device)
    most = TIMED.get(encoder.device.type)
    if most is not None:
        batch = min(batch, max(SHORTEST, int(most / weight_operations(encoder))))
    length = min(length, batch, encoder.recipe.max_length)
    passes = torch.get_num_threads() if can_share(encoder) else 1  # that run at once
    rows = [[_some_token(encoder)] * length] * max(1, batch // length) * passes
    final_vectors(encoder, [row[:SHORTEST] for row in rows[:1]], batch)  # the first pass pays for warming up
    seconds = []
    for _ in range(PASSES):
        start = perf_counter()
        final_vectors(encoder, rows, batch, precision=precision)
        seconds.append(perf_counter() - start)
    return operations(encoder, np.full(len(rows), length)) / float(np.median(seconds))


def product_rate() -> float:
    """Return the operations per second of a product of two float32 matrices on the processor."""
    matrix = np.ones((SIZE, SIZE), dtype=np.float32)
    times = []
    for _ in range(4):  # the first pays for warming up
        start = perf_counter()
        matrix @ matrix
        times.append(perf_counter() - start)
    return 2.0 * SIZE**3 / float(np.median(times[1:]))


def _typical(lengths: Int[np.ndarray, "text"]) -> int:
    """Return the median text length, weighted by tokens: texts up to this length contain half of all tokens."""
    ordered = np.sort(lengths)
    return int(ordered[np.searchsorted(ordered.cumsum(), ordered.sum() / 2)])


def _some_token(encoder: Encoder) -> int:
    """Return the id of a token that is not padding."""
    return 0 if encoder.tokenizer.pad_token_id != 0 else 1
