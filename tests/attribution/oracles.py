"""Naive, slow and literal versions of what the engine computes, and toy encoders to compare them on.

Here weights really are overwritten, every pass runs the whole network on one text without padding, and the numbers
are float64 wherever the library lets them be (some norms and softmaxes of transformers work in float32 inside).
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from retroscope.attribution.integrals.paths import Values, Work
from retroscope.attribution.integrals.quadrature import Rule, quadrature
from retroscope.attribution.objective import Objective
from retroscope.attribution.settings import PARTS
from retroscope.attribution.sites import Site, find_sites
from retroscope.encoders.checks.selftest import tolerance
from retroscope.encoders.encode import TokenIds, encode_rows, pad, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.pooling import pooling
from retroscope.encoders.settings import LoadSettings
from toys import TEXTS, save_toy


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
    """The dot product of each text's vector with a random one, every text an example."""
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
        self.model = deepcopy(encoder.backbone).double().requires_grad_()
        self.encoder = replace(encoder, backbone=self.model)
        self.head = deepcopy(encoder.head).double()

    def vector(self, row: TokenIds) -> Tensor:
        """Final vector of one text."""
        ids = torch.tensor([row])
        mask = torch.ones_like(ids)
        output = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        final: Tensor = self.head(pooling(self.encoder.recipe.pooling)(output.hidden_states[-1], mask.bool()))[0]
        return final

    def value(self, rows: Sequence[TokenIds], asked: Objective, example: int) -> Tensor:
        """F of one example; `rows` are the texts of the whole batch."""
        return torch.stack([self.share(rows[text], asked, text) for text in asked.texts_of(example)]).sum()

    def share(self, row: TokenIds, asked: Objective, text: int) -> Tensor:
        """One text's share of F."""
        vector = self.vector(row)
        if asked.other is None:
            return vector.norm()
        own = vector / vector.norm() if asked.cosine else vector
        return asked.sign[text] * (own @ asked.other[text].double())

    def slopes(self, value: Tensor) -> None:
        """Gradients of every parameter."""
        self.model.zero_grad()
        value.backward()


class Matrix:
    """W and b of one site: views of rows of the module's weights, or of columns (GPT-2)."""

    def __init__(self, encoder: Encoder, site: Site) -> None:
        self.module: nn.Module = encoder.backbone.get_submodule(site.path)
        self.transposed, self.half = encoder.anatomy.layout.transposed, site.half
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


Pair = tuple[Tensor, Tensor]  # magnitude and signed value of the neurons


def published(naive: Naive, sites: Sequence[Site], rule: Rule, value: Callable[[], Tensor]) -> dict[Site, Pair]:
    """The published loop: overwrite, run everything, accumulate dF/dW * W. All `sites` are scaled together."""
    matrices = {site: Matrix(naive.encoder, site) for site in sites}
    sums = dict.fromkeys(sites, (torch.zeros(()), torch.zeros(())))
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


def one_by_one(asked: Work, rows: Sequence[TokenIds]) -> dict[Site, Pair]:
    """Every site scaled alone: the weight path of every example."""
    by_name: dict[Site, Pair] = {}
    for site in asked.sites:
        by_name |= all_together(replace(asked, sites=(site,)), rows)
    return by_name


def all_together(asked: Work, rows: Sequence[TokenIds]) -> dict[Site, Pair]:
    """All sites scaled together: the joint path of every example."""
    naive, (rule,) = Naive(asked.encoder), asked.quadrature.rules
    examples = [
        published(naive, asked.sites, rule, partial(naive.value, rows, asked.objective, example))
        for example in range(asked.objective.n_examples)
    ]
    return {
        site: (
            torch.stack([example[site][0] for example in examples]),
            torch.stack([example[site][1] for example in examples]),
        )
        for site in asked.sites
    }


def limit(encoder: Encoder) -> float:
    """Relative to a site's largest value: gradients go through about as many roundings again as vectors do, and
    integrals add up differences of both; ten times what a vector may err by."""
    return 10 * tolerance(encoder)


def apart(gradients: Tensor, expected: Tensor) -> float:
    """Largest distance of two examples' values, relative to the largest value."""
    return float((gradients.double() - expected.double()).abs().max() / expected.abs().max())


def check_equal(encoder: Encoder, gradients: Values, expected: Mapping[Site, Pair]) -> None:
    """Magnitudes and signed values agree up to rounding."""
    for site, (magnitude, signed) in expected.items():
        assert apart(gradients[site].magnitude, magnitude) <= limit(encoder), site
        assert apart(gradients[site].signed, signed) <= limit(encoder), site


def check_same(encoder: Encoder, gradients: Values, expected: Values) -> None:
    """Two results agree up to rounding, F at both ends included."""
    check_equal(encoder, gradients, {site: (values.magnitude, values.signed) for site, values in expected.items()})
    for site, values in expected.items():
        for name in ("start", "end", "spread"):
            a, b = getattr(gradients[site], name), getattr(values, name)
            assert ((a - b).abs().nan_to_num(0) <= limit(encoder) * (1 + values.end.abs())).all(), (site, name)
            assert torch.equal(a.isnan(), b.isnan())
