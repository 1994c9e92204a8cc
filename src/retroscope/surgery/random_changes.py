"""Random weight changes with the norm of the real change, tensor by tensor: the control for transplants.

A transplant changes every tensor of a block by D, the difference between the two models. The control changes it by a
Gaussian random tensor of the same Frobenius norm, whose direction does not depend on fine-tuning. Embeddings are
changed row by row. Most of their rows belong to tokens that occur in no text, so a random change of the whole matrix
would put most of its norm into rows without effect.
"""

import hashlib
from threading import Lock

import torch
from torch import Tensor

from retroscope.encoders.encoder import Encoder


class RandomChanges:
    """Random weight changes with the norm of two models' difference. The latest draw stays in memory.

    Args:
        pair: two models with tensors of the same names and shapes, in any order.
    """

    def __init__(self, pair: tuple[Encoder, Encoder]) -> None:
        self._mine, self._theirs = (dict(encoder.backbone.named_parameters()) for encoder in pair)
        self._part_of = pair[0].anatomy.part_of
        self._draw: int | None = None
        self._held: dict[str, Tensor] = {}
        self._lock = Lock()

    def of(self, draw: int, name: str) -> Tensor:
        """Return a random change of a parameter, with the norm of the difference between the two models.

        In an embedding matrix, every row has the norm of its own difference. A row that is equal in both models is not
        changed.

        Args:
            draw: index of the draw. It is the seed, together with the name.
            name: name of the parameter in the backbone.
        """
        with self._lock:  # threads share the draw in memory
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
