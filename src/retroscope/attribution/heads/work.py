"""Estimate the work of head ablation, in forward passes of the whole network."""

# Rate of passes with gradients over that of plain encoding, as for `attribution.work.RELATIVE_RATE`.
GRADIENT_RATE = 0.8
FIRST_ORDER_PASSES = 2  # forward, and backward to activations alone
ATTENTION_PASSES = 2  # in the plain implementation, and in the usual one


def estimated_passes() -> float:
    """Return the cost of the first-order estimates of all heads for one text, in forward passes."""
    return FIRST_ORDER_PASSES / GRADIENT_RATE


def exact_heads(top: int, sample: int, controls: int, n_heads: int) -> int:
    """Return an upper bound on how many attention heads are ablated exactly.

    It is reached if the two models share no top head, and all top heads are in different layers.

    Args:
        top: how many top heads each model has.
        sample: how many heads are drawn at random from the whole network.
        controls: how many random heads are drawn in each layer with a top head.
        n_heads: how many heads the network has.
    """
    return min(n_heads, 2 * top * (1 + controls) + sample)
