"""Conductance: the part of F's change that goes through a neuron while the input of block 1 is scaled from 0 to 1.

Dhamdhere, Sundararajan and Yan 2019 (arXiv 1805.12233, eq. 2; for a straight path from a zero baseline):
    conductance_i = sum over tokens t of the integral of dF/dy_ti dy_ti/dalpha, y = W x + b of the neuron,
where layer 0 (what block 1 is given) is alpha times what it is for the text. Positions, masks and biases stay.

The integral is one over y, and is taken as such: between neighbouring nodes the slope is the mean of both ends',
on the first step that of its right end,
    g_1 (y_1 - y_0) + sum over k > 0 of (g_k + g_{k+1}) / 2 (y_{k+1} - y_k), 0 = alpha_0 < alpha_1 < ... < 1,
so that a layer norm, behind which y jumps close to alpha = 0, loses nothing of the change. The slope at alpha = 0 is
not used: where neither norms nor matrices have a bias (LLaMA, T5, Gemma, ModernBERT) the states are 0 there, RMSNorm's
slope is 1 / sqrt(eps), and every norm passed on the way multiplies by it; times the jump of y that is 1e7 and more. The
nodes of the chosen rule with 0 and 1 added divide the path. Its weights are not used. captum's `LayerConductance` takes
the left sum. This is the right sum on the first step and the mean of left and right on the others. All have the same
limit where the slope is bounded. Where it is 1 / sqrt(eps) at 0, nodes that fall into the jump (alpha below sqrt(eps)
over the root mean square of layer 0) resolve it, and then eps has its part in the values: equal steps, `trapezoid:N`,
settle before that. Many Gauss nodes, which crowd at the ends, do not.
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
    """Compute the conductance of every neuron. It is not complete at any site.

    A block's residual connection carries the input past its FFN, so a site is no cut through the network. signed_i is
    the conductance, and magnitude_i the sum over tokens of its absolute value. `start` and `end` are F at the ends of
    the input's path.

    Raises:
        SettingsError: for `auto:TOL`, because there is no completeness gap to reduce.
    """
    grid = partition(only_rule(work.quadrature, "conductance"))
    nodes = torch.tensor(grid, dtype=torch.float32, device=work.encoder.device)
    texts = torch.arange(len(work.batch.ids), device=work.encoder.device)
    shares = torch.zeros(len(nodes), len(texts), device=work.encoder.device)
    done: dict[Site, list[Tensor]] = {site: [] for site in work.sites}
    flows: dict[Site, _Flow] = {}
    for some, at in chunks(len(texts), len(nodes), work.rows):
        one = with_slopes(work, Stretch(texts[some.start : some.stop], nodes[at.start : at.stop], "layer 0"))
        shares[at.start : at.stop, some.start : some.stop] = one.shares
        flows = {site: _further(flows.get(site), seen, at.start <= 1) for site, seen in one.sites.items()}
        if at.stop == len(nodes):
            for site, flow in flows.items():
                done[site].append(flow.total)
            flows = {}
    met = work.objective.of_examples(shares)
    return {site: _values(work, met, torch.cat(done[site])) for site in work.sites}


def partition(rule: Rule) -> Float[np.ndarray, "node"]:
    """Return the nodes of a quadrature rule, with both ends of the path (0 and 1) added."""
    return np.unique(np.concatenate([[0.0], rule.nodes, [1.0]]))


@dataclass(frozen=True, eq=False)
class _Flow:
    """Running sum of conductance for some texts at one site, with the slope and outputs at the last node."""

    total: Float[Tensor, "text token neuron"]
    slope: Float[Tensor, "1 text token neuron"]
    output: Float[Tensor, "1 text token neuron"]


def _further(flow: _Flow | None, seen: Seen, from_zero: bool) -> _Flow:
    """Add the steps of another pass, which starts at the last node of the pass before.

    Args:
        from_zero: the first step begins at alpha = 0.
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
