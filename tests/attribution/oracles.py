"""Naive, slow and literal versions of what the engine computes, and toy encoders to compare them on.

Here weights really are overwritten, every pass runs the whole network on one text without padding, and the numbers
are float64 wherever the library lets them be (some norms and softmaxes of transformers work in float32 inside).
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from retroscope.attribution.objective import Objective
from retroscope.attribution.paths import Work
from retroscope.attribution.quadrature import Rule, quadrature
from retroscope.attribution.sites import PARTS, Site, find_sites
from retroscope.encoders.encode import TokenIds, encode_rows, pad, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.pooling import pooling
from retroscope.encoders.settings import LoadSettings
from toys import TEXTS, save_toy

F = Callable[[Tensor], Tensor]  # vector of one text -> its share of F


@cache
def toy(name: str) -> Encoder:
    """The toy of that name under mean pooling. Shared by all tests: nobody may change it."""
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        torch.manual_seed(0)
        return load_encoder(save_toy(name, Path(folder) / name), LoadSettings(pooling="mean"))


def parts(encoder: Encoder) -> tuple[str, ...]:
    """All parts that a family has."""
    gated = encoder.anatomy.layout.fused_gate or encoder.anatomy.layout.ffn_gate
    return PARTS if gated else ("intermediate", "output")


def scores(encoder: Encoder, texts: int, seed: int = 0) -> Objective:
    """The dot product of each text's vector with a random one, every text a unit."""
    size = encode_rows(encoder, tokenise(encoder, TEXTS[:1])).final.shape[1]
    other = torch.randn(texts, size, generator=torch.Generator().manual_seed(seed))
    return Objective(other, torch.ones(texts), torch.arange(texts))


def work(
    encoder: Encoder,
    rows: Sequence[TokenIds] | None = None,
    *,
    objective: Objective | None = None,
    rule: str = "gauss:2",
    side: str | None = None,
    extra: int = 0,
    at_once: int = 1000,
    sites: Sequence[Site] | None = None,
    precision: str = "float32",
) -> Work:
    """Work on the toy texts."""
    rows = tokenise(encoder, TEXTS[:3]) if rows is None else rows
    return Work(
        encoder,
        pad(encoder, rows, side=side, extra=extra),
        scores(encoder, len(rows)) if objective is None else objective,
        tuple(sites if sites is not None else find_sites(encoder, parts(encoder))),
        quadrature(rule),
        at_once,
        precision,
    )


class Naive:
    """A copy of an encoder in float64 whose parameters want gradients and may be overwritten."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.model = deepcopy(encoder.backbone).double().requires_grad_()
        self.head = deepcopy(encoder.head).double()

    def vector(self, row: TokenIds) -> Tensor:
        """Final vector of one text."""
        ids = torch.tensor([row])
        mask = torch.ones_like(ids)
        output = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        final: Tensor = self.head(pooling(self.encoder.recipe.pooling)(output.hidden_states[-1], mask.bool()))[0]
        return final

    def matrix(self, site: Site) -> "Matrix":
        """The weights of a site."""
        return Matrix(self, site)

    def slopes(self, value: Tensor) -> None:
        """Gradients of every parameter."""
        self.model.zero_grad()
        value.backward()


class Matrix:
    """W and b of one site: views of rows of the module's weights, or of columns (GPT-2)."""

    def __init__(self, naive: Naive, site: Site) -> None:
        self.module: nn.Module = naive.model.get_submodule(site.path)
        self.transposed, self.half = naive.encoder.anatomy.layout.transposed, site.half
        self.weight, self.bias = self._part(self.module.weight.detach()), None
        if getattr(self.module, "bias", None) is not None:
            self.bias = self._part(self.module.bias.detach())
        self.intact = (self.weight.clone(), None if self.bias is None else self.bias.clone())

    def _part(self, stored: Tensor) -> Tensor:
        rows = stored.T if self.transposed and stored.dim() == 2 else stored
        return rows if self.half is None else rows.chunk(2, dim=0)[self.half]

    def scale(self, alpha: float) -> None:
        """Overwrite W and b with alpha W and alpha b."""
        self.weight.copy_(alpha * self.intact[0])
        if self.bias is not None:
            self.bias.copy_(alpha * self.intact[1])

    def products(self) -> tuple[Tensor, Tensor]:
        """dF/dW * W, and per neuron also dF/db * b, with the W and b of the intact model."""
        by_weight = self._part(self.module.weight.grad) * self.intact[0]
        signed = by_weight.sum(1)
        if self.bias is not None:
            signed = signed + self._part(self.module.bias.grad) * self.intact[1]
        return by_weight, signed


def along(
    naive: Naive, sites: Sequence[Site], rule: Rule, value: Callable[[], Tensor]
) -> dict[Site, tuple[Tensor, Tensor]]:
    """The published loop: overwrite, run everything, accumulate dF/dW * W. All `sites` are scaled together."""
    matrices = {site: naive.matrix(site) for site in sites}
    sums = {site: (torch.zeros(()), torch.zeros(())) for site in sites}
    for alpha, weight in zip(rule.nodes.tolist(), rule.weights.tolist(), strict=True):
        with scaled(list(matrices.values()), alpha):
            naive.slopes(value())
        for site, matrix in matrices.items():
            by_weight, signed = matrix.products()
            sums[site] = (sums[site][0] + weight * by_weight, sums[site][1] + weight * signed)
    return {site: (by_weight.abs().sum(1), signed) for site, (by_weight, signed) in sums.items()}


@contextmanager
def scaled(matrices: Sequence[Matrix], alpha: float) -> Iterator[None]:
    """Matrices scaled by alpha, and put back."""
    for matrix in matrices:
        matrix.scale(alpha)
    yield
    for matrix in matrices:
        matrix.scale(1.0)
