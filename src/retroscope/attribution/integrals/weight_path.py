"""Weight-path integrated gradients for each FFN matrix alone, computed exactly from recorded inputs.

The published method (arXiv 2505.07166, after Dai et al. 2022, arXiv 2104.08696, eq. 2) scales W and b of one matrix by
alpha, averages dF/dW over alphas, and multiplies by W. For z = W x + b, scaling W and b is the same as scaling z, and x
does not depend on alpha. So this module scales z. Only the network above the matrix runs again, and gradients go back
only to z. At the end, dF/dW is one product of the summed gradient with x.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from retroscope.attribution.integrals.paths import (
    SiteValues,
    Values,
    Work,
    chunks,
    collect,
    pairs,
    per_example,
    refined,
)
from retroscope.attribution.integrals.quadrature import Rule
from retroscope.attribution.integrals.trace import Trace, run_from, trace
from retroscope.attribution.sites import Site


@dataclass(frozen=True, eq=False)
class Integral:
    """Path integral of the gradients of some texts at one FFN matrix (site).

    Attributes:
        gradient: integral of dF/dz', where z' are the scaled outputs of the matrix.
        shares: each text's contribution to F at every node.
    """

    gradient: Float[Tensor, "text token neuron"]
    shares: Float[Tensor, "node text"]


def weight_path(work: Work) -> Values:
    """Attribute the scalar F to neurons by integrated gradients, with the weights of each FFN matrix scaled alone."""
    with work.cast():
        record = trace(work.encoder, work.batch)
    return {site: _site(work, record, site) for site in work.sites}


def _site(work: Work, record: Trace, site: Site) -> SiteValues:
    def by_rule(rule: Rule, examples: list[int]) -> Values:
        return {site: _by_rule(work, record, site, rule, examples)}

    return refined(work, by_rule, lambda values: values[site])[site]


def _by_rule(work: Work, record: Trace, site: Site, rule: Rule, examples: list[int]) -> SiteValues:
    texts = [text for example in examples for text in work.objective.texts_of(example)]
    indices = torch.tensor(texts, device=work.encoder.device)
    part = work.objective.only(examples)
    integral = _integrate(work, record, site, rule, indices)
    ends = part.of_examples(torch.stack([_at_zero(work, record, site, indices), _intact(work, record, indices)]))
    f_values = torch.cat([ends, part.of_examples(integral.shares)])
    outputs, inputs = record.outputs(site)[indices], record.inputs(site)[indices]
    signed = torch.einsum("btn,btn->bn", integral.gradient.double(), outputs.double())
    return SiteValues(
        magnitude=collect(site.weight(work.encoder), integral.gradient, inputs, part),
        signed=per_example(signed, part),
        start=ends[0],
        end=ends[1],
        spread=f_values.amax(0) - f_values.amin(0),
        nodes=torch.full((len(examples),), len(rule.nodes), device=indices.device),
    )


def _integrate(work: Work, record: Trace, site: Site, rule: Rule, texts: Int[Tensor, "text"]) -> Integral:
    """Return the path integral of one FFN matrix's gradients: their sum over nodes, weighted by the quadrature rule."""
    outputs = record.outputs(site)
    total = torch.zeros(len(texts), *outputs.shape[1:], device=outputs.device)
    shares = torch.zeros(len(rule.nodes), len(texts), device=outputs.device)
    nodes, weights = (torch.tensor(x, dtype=torch.float32, device=outputs.device) for x in (rule.nodes, rule.weights))
    for some, at in chunks(len(texts), len(rule.nodes), work.rows):
        here, alphas = texts[some.start : some.stop], nodes[at.start : at.stop]
        share, slope = _gradient(work, record, site, here, alphas)
        shares[at.start : at.stop, some.start : some.stop] = share
        total[some.start : some.stop] += torch.einsum("a,abtn->btn", weights[at.start : at.stop], slope)
    return Integral(total, shares)


def _gradient(
    work: Work, record: Trace, site: Site, texts: Int[Tensor, "text"], alphas: Float[Tensor, "node"]
) -> tuple[Float[Tensor, "node text"], Float[Tensor, "node text token neuron"]]:
    """Return each text's contribution to F if the outputs of `site` are scaled, and its gradient for these outputs."""
    outputs = record.outputs(site)[texts]
    shape = (len(alphas), *outputs.shape)
    scaled = (alphas.view(-1, 1, 1, 1) * outputs).flatten(0, 1).to(outputs.dtype).requires_grad_()
    rows = pairs(texts, len(alphas))
    with torch.enable_grad(), work.cast():
        shares = work.objective.of_texts(work.encoder, run_from(record, site, scaled, rows), rows)
        (slope,) = torch.autograd.grad(shares.sum(), scaled, allow_unused=True)
    slope = torch.zeros_like(scaled) if slope is None else slope
    return shares.detach().view(len(alphas), len(texts)), slope.view(shape).float()


@torch.no_grad()
def _at_zero(work: Work, record: Trace, site: Site, texts: Int[Tensor, "text"]) -> Float[Tensor, "text"]:
    """Return each text's contribution to F if the outputs of the FFN matrix are zero."""
    shares = []
    for here in torch.split(texts, max(1, work.rows)):
        nothing = torch.zeros_like(record.outputs(site)[here])
        with work.cast():
            shares.append(work.objective.of_texts(work.encoder, run_from(record, site, nothing, here), here))
    return torch.cat(shares)


@torch.no_grad()
def _intact(work: Work, record: Trace, texts: Int[Tensor, "text"]) -> Float[Tensor, "text"]:
    return work.objective.of_texts(work.encoder, record.vectors[texts], texts)
