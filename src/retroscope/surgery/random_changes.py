"""Random weight changes of equal size, tensor by tensor: the control for transplants.

Restoring a block moves every tensor of it by D = theirs - mine. A Gaussian direction of the same Frobenius norm, drawn
for each tensor, is a change of equal size that knows nothing of fine-tuning.
"""

import hashlib

import torch
from torch import Tensor

from retroscope.encoders.encoder import Encoder


class RandomChanges:
    """Random weight changes with the size of two models' difference. The latest draw is kept in memory.

    Args:
        pair: two models with tensors of the same names and shapes, in any order.
    """

    def __init__(self, pair: tuple[Encoder, Encoder]) -> None:
        self._mine, self._theirs = (dict(encoder.backbone.named_parameters()) for encoder in pair)
        self._draw: int | None = None
        self._held: dict[str, Tensor] = {}

    def of(self, draw: int, name: str) -> Tensor:
        """Return a parameter's random change: a normal direction, scaled to the norm of the models' difference."""
        if draw != self._draw:
            self._draw, self._held = draw, {}
        if name not in self._held:
            self._held[name] = self._make(draw, name)
        return self._held[name]

    def _make(self, draw: int, name: str) -> Tensor:
        mine, theirs = self._mine[name].detach(), self._theirs[name].detach()
        size = torch.linalg.vector_norm((theirs - mine).double())
        seed = int.from_bytes(hashlib.sha256(f"{draw}/{name}".encode()).digest()[:8], "big") >> 1
        direction = torch.randn(mine.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
        length = torch.linalg.vector_norm(direction.double()).clamp_min(torch.finfo(torch.float64).tiny)
        change: Tensor = direction.to(mine.device) * (size / length.to(mine.device))
        return change.to(mine.dtype)
