"""Random weight changes of equal size, tensor by tensor: the control for transplants.

Restoring a block moves every tensor of it by D = theirs - mine. A Gaussian direction of the same Frobenius norm, drawn
for each tensor, is a change of equal size that knows nothing of fine-tuning. The embeddings are changed row by row:
most rows are those of tokens that occur in no text, so that a change spread over all rows would hardly change a vector.
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
        self._part_of = pair[0].anatomy.part_of
        self._draw: int | None = None
        self._held: dict[str, Tensor] = {}

    def of(self, draw: int, name: str) -> Tensor:
        """Return a parameter's random change: a normal direction, scaled to the norm of the models' difference.

        In a table of embeddings, every row has the norm of its own difference; a row equal in both models stays.
        """
        if draw != self._draw:
            self._draw, self._held = draw, {}
        if name not in self._held:
            self._held[name] = self._make(draw, name)
        return self._held[name]

    def _make(self, draw: int, name: str) -> Tensor:
        mine, theirs = self._mine[name].detach(), self._theirs[name].detach()
        by_row = mine.ndim == 2 and self._part_of(name)[1] == "embedding"
        over = {"dim": 1, "keepdim": True} if by_row else {}
        size = torch.linalg.vector_norm((theirs - mine).double(), **over)
        seed = int.from_bytes(hashlib.sha256(f"{draw}/{name}".encode()).digest()[:8], "big") >> 1
        direction = torch.randn(mine.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
        length = torch.linalg.vector_norm(direction.double(), **over).clamp_min(torch.finfo(torch.float64).tiny)
        change: Tensor = direction.to(mine.device) * (size / length.to(mine.device))
        return change.to(mine.dtype)
