"""Final modules, which a checkpoint applies to the pooled vector in float32."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "Identity": nn.Identity,
    "Tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "GELU": nn.GELU,
    "SiLU": nn.SiLU,
    "Sigmoid": nn.Sigmoid,
}


class Normalize(nn.Module):
    """Module that scales vectors to unit length."""

    def forward(self, vector: Float[Tensor, "text dim"]) -> Float[Tensor, "text dim"]:
        """Divide vectors by their L2 norm (at least 1e-12)."""
        return torch.nn.functional.normalize(vector, dim=-1)


class Dense(nn.Module):
    """Dense layer: activation(W x + b), plus `residual(x)` if there is a residual connection."""

    def __init__(self, linear: nn.Linear, activation: nn.Module, residual: nn.Module | None = None) -> None:
        super().__init__()
        self.linear = linear
        self.activation = activation
        self.residual = residual

    def forward(self, vector: Float[Tensor, "text dim"]) -> Float[Tensor, "text out"]:
        """Return the output of the layer for every vector."""
        out: Tensor = self.activation(self.linear(vector))
        return out if self.residual is None else out + self.residual(vector)
