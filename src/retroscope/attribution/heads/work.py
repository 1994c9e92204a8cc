"""Estimate the work of head ablation in full passes of the network."""

# Rate of passes with gradients over that of plain encoding, as for `attribution.work.RELATIVE_RATE`.
GRADIENT_RATE = 0.8
FIRST_ORDER_PASSES = 2  # forward, and backward to activations alone
ATTENTION_PASSES = 2  # in the plain implementation, and in the usual one


def estimated_passes() -> float:
    """Return the number of full passes of a text that the first-order estimates of all heads need."""
    return FIRST_ORDER_PASSES / GRADIENT_RATE


def exact_heads(top: int, sample: int, controls: int, n_heads: int) -> int:
    """Return an upper bound on the exactly ablated heads: both models have different top heads."""
    return min(n_heads, 2 * top * (1 + controls) + sample)
