"""The neuron attribution of arXiv 2505.07166 as its text and its outputs describe it, written anew and naively.

One matrix, one alpha and one text at a time: the weights are overwritten with alpha W, the whole network runs, the
whole gradient is computed, and dF/dW * W / n is accumulated. Kept as slow as it is: it is the ruler.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

Embed = Callable[[], Tensor]  # () -> embedding of one text, with its graph


def published_attribution(matrix: nn.Linear, embed: Embed, alphas: np.ndarray) -> Tensor:
    """sum_j |mean over alphas of dF/dW_ij * W_ij| of every row i; F is the L2 norm of the embedding."""
    weight, bias = matrix.weight.detach().clone(), None if matrix.bias is None else matrix.bias.detach().clone()
    total = torch.zeros_like(weight)
    for alpha in alphas:
        _scale(matrix, weight, bias, float(alpha))
        matrix.zero_grad()
        embed().norm().backward()
        total += matrix.weight.grad * weight / len(alphas)
    _scale(matrix, weight, bias, 1.0)
    return total.abs().sum(1)


def _scale(matrix: nn.Linear, weight: Tensor, bias: Tensor | None, alpha: float) -> None:
    with torch.no_grad():
        matrix.weight.copy_(alpha * weight)
        if bias is not None:
            matrix.bias.copy_(alpha * bias)
