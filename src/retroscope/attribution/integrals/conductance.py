"""Conductance: the part of the scalar F's change that goes through a neuron while the input of block 1 is scaled up.

Dhamdhere, Sundararajan and Yan 2019 (arXiv 1805.12233, eq. 2; for a straight path from a zero baseline):
    conductance_i = sum over tokens t of the integral of dF/dy_ti dy_ti/dalpha, y = W x + b of the neuron,
where layer 0 (the input of block 1) is alpha times its value for the text. Positions, masks and biases do not change.

The integral is computed over y, not over alpha. Between two neighbouring nodes, the slope g is the mean of the slopes
at both. On the first step, it is the slope at the right end:
    g_1 (y_1 - y_0) + sum over k > 0 of (g_k + g_{k+1}) / 2 (y_{k+1} - y_k), 0 = alpha_0 < alpha_1 < ... < 1,
After a layer norm, y jumps close to alpha = 0. The integral over y includes all of this jump. The slope at alpha = 0 is
not used. If neither norms nor matrices have a bias (LLaMA, T5, Gemma, ModernBERT), the states are 0 at alpha = 0. The
slope of an RMSNorm is then 1 / sqrt(eps), and the norms of several layers multiply. Multiplied by the jump of y, this
exceeds 1e7.

The path is divided at the nodes of the quadrature rule, and at 0 and 1. The weights of the rule are not used. captum's
`LayerConductance` takes the left sum. Here, the first step is a right sum, and the other steps are the mean of left and
right sum. All have the same limit if the slope is bounded. If the slope at 0 is 1 / sqrt(eps), nodes within the jump
(alpha below sqrt(eps) over the root mean square of layer 0) make the values depend on eps. With equal steps
(`trapezoid:N`), the values converge before nodes reach the jump. With many Gauss nodes, which are dense at the ends,
they do not.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.attribution.integrals.passes import Seen, Stretch, with_slopes
from retroscope.attribution.integrals.paths import SiteValues, Values, Work, chunks, over_tokens
from retroscope.attribution.integrals.quadrature import Rule, only_rule
from retroscope.attribution.sites import Site


def conductance(work: Work) -> Values:
    """Compute the conductance of every neuron: the part of the scalar F's change that passes through this neuron.

    signed_i is the conductance, and magnitude_i the sum of its absolute values over tokens. `start` and `end` are F at
    alpha = 0 and alpha = 1. The signed values of one FFN matrix do not sum to F(1) - F(0), because part of the change
    passes the FFN by the residual connection.

    Raises:
        SettingsError: if the quadrature is `auto:TOL`, because there is no completeness gap to reduce.
    """
    grid = partition(only_rule(work.quadrature, "conductance"))
    nodes = torch.tensor(grid, dtype=torch.float32, device=work.encoder.device)
    texts = torch.arange(len(work.batch.ids), device=work.encoder.device)
    shares = torch.zeros(len(nodes), len(texts), device=work.encoder.device)
    totals: dict[Site, list[Tensor]] = {site: [] for site in work.sites}
    flows: dict[Site, _Flow] = {}
    for some, at in chunks(len(texts), len(nodes), work.rows):
        result = with_slopes(work, Stretch(texts[some.start : some.stop], nodes[at.start : at.stop], "layer 0"))
        shares[at.start : at.stop, some.start : some.stop] = result.shares
        flows = {site: _further(flows.get(site), seen, at.start <= 1) for site, seen in result.sites.items()}
        if at.stop == len(nodes):
            for site, flow in flows.items():
                totals[site].append(flow.total)
            flows = {}
    f_values = work.objective.of_examples(shares)
    return {site: _values(work, f_values, torch.cat(totals[site])) for site in work.sites}


def partition(rule: Rule) -> Float[np.ndarray, "node"]:
    """Return the nodes of a quadrature rule and both ends of the path (0 and 1), in rising order, each once."""
    return np.unique(np.concatenate([[0.0], rule.nodes, [1.0]]))


@dataclass(frozen=True, eq=False)
class _Flow:
    """Conductance of some texts at one FFN matrix, summed from alpha = 0 to a node, with slopes and outputs there."""

    total: Float[Tensor, "text token neuron"]
    slope: Float[Tensor, "1 text token neuron"]
    output: Float[Tensor, "1 text token neuron"]


def _further(flow: _Flow | None, seen: Seen, from_zero: bool) -> _Flow:
    """Return the sum of the conductance over the steps so far, with the steps of one more pass added.

    Args:
        flow: the sum up to the last node of the previous pass, or None before the first pass.
        seen: outputs and slopes at the nodes of this pass.
        from_zero: whether the first step begins at alpha = 0, where the slope is not used.
    """
    slope = seen.slope if flow is None else torch.cat([flow.slope, seen.slope])
    output = seen.outputs if flow is None else torch.cat([flow.output, seen.outputs])
    left, right = slope[:-1], slope[1:]
    if from_zero:
        left = torch.cat([right[:1], left[1:]])
    steps = ((right + left) / 2 * (output[1:] - output[:-1])).sum(0)
    total = steps if flow is None else flow.total + steps
    return _Flow(total, slope[-1:].clone(), output[-1:].clone())  # not a view that keeps all nodes alive


def _values(work: Work, met: Float[Tensor, "node example"], total: Float[Tensor, "text token neuron"]) -> SiteValues:
    magnitude, signed = over_tokens(total, work.objective)
    return SiteValues(
        magnitude=magnitude,
        signed=signed,
        start=met[0],
        end=met[-1],
        spread=met.amax(0) - met.amin(0),
        nodes=torch.full((met.shape[1],), len(met), device=met.device),
    )
