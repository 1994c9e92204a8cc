"""Types and functions that all attribution methods share, e.g. their input (`Work`) and output (`SiteValues`)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from retroscope.attribution.integrals.quadrature import Quadrature, Rule
from retroscope.attribution.objective import Objective
from retroscope.attribution.sites import Site
from retroscope.encoders.encode import Batch
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.hardware import autocast_type, in_precision

RESOLUTION = 8  # in rounding errors of one operation: two values of F that are nearer cannot be told apart


@dataclass(frozen=True, eq=False)
class Work:
    """The input of an attribution method: a batch of texts, the attributed scalar F, and settings of the path integral.

    Attributes:
        sites: the FFN matrices whose neurons are attributed.
        rows: how many rows (one text at one node of the path) run at once. This number changes memory and speed, not
            the result.
        precision: numerical precision of the network at path nodes, a name in `encoders.precision`. Gradients are
            always summed in float32.
    """

    encoder: Encoder
    batch: Batch
    objective: Objective
    sites: tuple[Site, ...]
    quadrature: Quadrature
    rows: int
    precision: str = "float32"

    def cast(self) -> AbstractContextManager[object]:
        """Return a context manager in which the network runs in the numerical precision `precision`."""
        return in_precision(self.precision, self.encoder.device)


@dataclass(frozen=True, eq=False)
class SiteValues:
    """Attribution of the neurons of one FFN matrix (site), by example.

    Attributes:
        magnitude: how strongly F depends on each neuron, never negative. For `weight_path`, it is the published
            quantity, sum_j |W_ij| |integral of dF/dW'_ij|.
        signed: contribution of the neuron to F(1) - F(0), if the method is complete.
        start, end: F at the beginning and at the end of the path. For a joint path, both are the same at every site.
            For a method without a path, `start` is NaN.
        spread: largest minus smallest F on the path. For a method without a path, it is the most that F can change to
            first order.
        nodes: how many nodes of the path the gradient was computed at.
    """

    magnitude: Float[Tensor, "example neuron"]
    signed: Float[Tensor, "example neuron"]
    start: Float[Tensor, "example"]
    end: Float[Tensor, "example"]
    spread: Float[Tensor, "example"]
    nodes: Int[Tensor, "example"]


Values = dict[Site, SiteValues]


def relative_gap(values: SiteValues) -> Float[Tensor, "example"]:
    """Compute the completeness gap |sum of signed values - (F(1) - F(0))| / sum of |signed values|.

    The gap is 0 if the difference is within the rounding error of F. It is NaN for a method without a path, which has
    no F(0).
    """
    size = values.signed.abs().sum(1)
    gap = (values.signed.sum(1) - (values.end - values.start)).abs()
    return torch.where(gap <= _resolution(values, torch.float32), torch.zeros_like(gap), gap / size)


def _resolution(values: SiteValues, dtype: torch.dtype) -> Float[Tensor, "example"]:
    """Return the largest difference between two values of F that may be a rounding error, for each example."""
    return RESOLUTION * torch.finfo(dtype).eps * torch.maximum(values.start.abs(), values.end.abs())


def together(values: Values) -> SiteValues:
    """Concatenate the neuron attributions of all FFN matrices, as if they were one matrix.

    On a joint path, their signed values together sum to F(1) - F(0).
    """
    sites = list(values.values())
    magnitude, signed = (torch.cat([getattr(v, name) for v in sites], 1) for name in ("magnitude", "signed"))
    return replace(sites[0], magnitude=magnitude, signed=signed)


def refined(work: Work, by_rule: Callable[[Rule, list[int]], Values], whole: Callable[[Values], SiteValues]) -> Values:
    """Integrate by the first quadrature rule, then by the next for examples whose completeness gap is too large.

    Args:
        by_rule: function that computes the attribution of some examples by one quadrature rule.
        whole: function that returns the values whose sum should be F(1) - F(0): those of one FFN matrix, or of all.
    """
    site_values = by_rule(work.quadrature.rules[0], list(range(work.objective.n_examples)))
    for rule in work.quadrature.rules[1:]:
        open_examples = torch.nonzero(_open(work, whole(site_values))).flatten().tolist()
        if not open_examples:
            break
        better = by_rule(rule, open_examples)
        site_values = {site: _replaced(values, better[site], open_examples) for site, values in site_values.items()}
    return site_values


def _open(work: Work, values: SiteValues) -> Bool[Tensor, "example"]:
    """Mark the examples whose completeness gap exceeds both the tolerance and the rounding error of F."""
    resolution = _resolution(values, autocast_type(work.precision) or torch.float32)
    gap = (values.signed.sum(1) - (values.end - values.start)).abs()
    return (relative_gap(values) > (work.quadrature.tolerance or 0.0)) & (gap > resolution)


def only(values: SiteValues, examples: Int[Tensor, "kept"]) -> SiteValues:
    """Return the attributions of the given examples only, in the given order."""
    return SiteValues(**{name: getattr(values, name)[examples] for name in SiteValues.__dataclass_fields__})


def joined(parts: Sequence[Values]) -> Values:
    """Concatenate the attributions of examples that were attributed in separate batches."""
    names = SiteValues.__dataclass_fields__
    return {
        site: SiteValues(**{name: torch.cat([getattr(part[site], name) for part in parts]) for name in names})
        for site in parts[0]
    }


def _replaced(site_values: SiteValues, better: SiteValues, examples: list[int]) -> SiteValues:
    changes = {}
    for name in SiteValues.__dataclass_fields__:
        values = getattr(site_values, name).clone()
        values[examples] = getattr(better, name)
        changes[name] = values
    return replace(site_values, **changes)


def chunks(texts: int, nodes: int, rows: int) -> Iterator[tuple[range, range]]:
    """Yield (range of texts, range of nodes) for each pass, so that a pass has at most `rows` (text, node) pairs.

    All nodes of a text are in the same pass if they fit. With `rows` below 1, a pass has one pair.
    """
    nodes_at_once = min(nodes, max(1, rows))
    texts_at_once = max(1, rows // nodes_at_once)
    for text in range(0, texts, texts_at_once):
        for node in range(0, nodes, nodes_at_once):
            yield range(text, min(text + texts_at_once, texts)), range(node, min(node + nodes_at_once, nodes))


def pairs(texts: Int[Tensor, "text"], nodes: int) -> Int[Tensor, "row"]:
    """Return the text index of every (node, text) pair. The pairs are ordered by node, then by text."""
    return texts.repeat(nodes)


def collect(
    weight: Float[Tensor, "neuron input"],
    gradient: Float[Tensor, "text token neuron"],
    given: Float[Tensor, "text token input"],
    objective: Objective,
) -> Float[Tensor, "example neuron"]:
    """Compute the attribution of every neuron i from gradients g and inputs x: sum_j |W_ij| |sum of g_i x_j|.

    The inner sum is over the tokens and texts of an example. The cost is one matrix product per example. No weight is
    copied or changed.

    Args:
        weight: weights W of the FFN matrix.
        gradient: path integral g of the gradient with respect to the matrix's outputs.
        given: inputs x of the matrix.
    """
    rows = []
    for example in range(objective.n_examples):
        texts = objective.texts_of(example)
        slope = gradient[texts].flatten(0, 1).T @ given[texts].flatten(0, 1).float()
        rows.append(slope.mul_(weight).abs_().sum(1))
    return torch.stack(rows)


def over_tokens(
    values: Float[Tensor, "text token neuron"], objective: Objective
) -> tuple[Float[Tensor, "example neuron"], Float[Tensor, "example neuron"]]:
    """Return two sums over the tokens of every example: of the absolute values, and of the signed values."""
    return per_example(values.abs().sum(1), objective), per_example(values.double().sum(1), objective)


def per_example(values: Float[Tensor, "text neuron"], objective: Objective) -> Float[Tensor, "example neuron"]:
    """Return, for each example, the sum of its texts' values."""
    return torch.stack([values[objective.texts_of(example)].sum(0) for example in range(objective.n_examples)])
