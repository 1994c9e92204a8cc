"""What every attribution method shares: the work it is given and what it returns."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from retroscope.attribution.objective import Objective
from retroscope.attribution.quadrature import Quadrature
from retroscope.attribution.sites import Site
from retroscope.encoders.encode import Batch
from retroscope.encoders.encoder import Encoder

PRECISIONS: dict[str, torch.dtype | None] = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class Work:
    """One batch of texts and what is wanted of it.

    Attributes:
        rows: how many (text, node) pairs are run at a time; changes memory and speed, not the result.
        precision: of the passes of the scaled network ("float32", or a name in `PRECISIONS` for autocast);
            gradients are summed in float32 whatever it is.
    """

    encoder: Encoder
    batch: Batch
    objective: Objective
    sites: tuple[Site, ...]
    quadrature: Quadrature
    rows: int
    precision: str = "float32"

    def cast(self) -> AbstractContextManager[object]:
        """The context in which the scaled network runs."""
        dtype = PRECISIONS[self.precision]
        if dtype is None:
            return nullcontext()
        return torch.autocast(self.encoder.device.type, dtype)


@dataclass(frozen=True, eq=False)
class SiteValues:
    """Attribution of the neurons of one site.

    Attributes:
        magnitude: non-negative; for `weight_path` sum_j |W_ij| |integral of dF/dW'_ij|, the published quantity.
        signed: what the neuron adds to F(1) - F(0) where the method is complete.
        start, end: F where the path begins and ends; equal for every site of a joint path.
        spread: largest minus smallest F met on the path.
        nodes: evaluations of the gradient.
    """

    magnitude: Float[Tensor, "unit neuron"]
    signed: Float[Tensor, "unit neuron"]
    start: Float[Tensor, "unit"]
    end: Float[Tensor, "unit"]
    spread: Float[Tensor, "unit"]
    nodes: Int[Tensor, "unit"]


Values = dict[Site, SiteValues]


def chunks(texts: int, nodes: int, rows: int) -> Iterator[tuple[range, range]]:
    """Texts and nodes that run together: at most `rows` pairs, all nodes of a text together where they fit."""
    nodes_at_once = min(nodes, max(1, rows))
    texts_at_once = max(1, rows // nodes_at_once)
    for text in range(0, texts, texts_at_once):
        for node in range(0, nodes, nodes_at_once):
            yield range(text, min(text + texts_at_once, texts)), range(node, min(node + nodes_at_once, nodes))


def pairs(texts: Int[Tensor, "text"], nodes: int) -> Int[Tensor, "row"]:
    """The text of each row, the rows being ordered by node and then by text."""
    return texts.repeat(nodes)


def collect(
    weight: Float[Tensor, "neuron input"],
    gradient: Float[Tensor, "text token neuron"],
    given: Float[Tensor, "text token input"],
    objective: Objective,
) -> Float[Tensor, "unit neuron"]:
    """sum_j |W_ij| |sum over tokens and texts of g_i x_j| of every unit: methods.md, 4, step 3.

    One matrix product a unit; no weight is copied or changed.
    """
    size, rows = weight.abs().float(), []
    for unit in range(objective.n_units):
        texts = objective.texts_of(unit)
        slope = gradient[texts].flatten(0, 1).T @ given[texts].flatten(0, 1).float()
        rows.append((slope.abs_() * size).sum(1))
    return torch.stack(rows)


def per_unit(values: Float[Tensor, "text neuron"], objective: Objective) -> Float[Tensor, "unit neuron"]:
    """The sum over the texts of every unit."""
    return torch.stack([values[objective.texts_of(unit)].sum(0) for unit in range(objective.n_units)])
