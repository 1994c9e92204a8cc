"""Joint-path integrated gradients: all FFN matrices are scaled from 0 to 1 together.

For z = W x + b of an FFN matrix (site), where x depends on alpha, too, and g = dF / d(alpha z):
    dF/dalpha = sum over sites, tokens t and neurons i of g_ti(alpha) z_ti(alpha).
So the signed values of all sites together sum to F(1) - F(0), but those of a single site do not. The joint path needs
one integral for the whole network, whereas `weight_path` needs one integral for every site.
The integrand is that of Dai et al. 2022 (arXiv 2104.08696, eq. 2). The path starts from a network in which all FFN
weights are 0, and not from a network in which one matrix is 0.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.attribution.integrals.passes import Seen, Stretch, with_slopes, without_slopes
from retroscope.attribution.integrals.paths import SiteValues, Values, Work, chunks, refined, together
from retroscope.attribution.integrals.quadrature import Rule
from retroscope.attribution.sites import Site


def joint_path(work: Work) -> Values:
    """Attribute the scalar F to neurons by integrated gradients, with the outputs of all FFN matrices scaled together.

    magnitude_i = sum_j |W_ij| |integral of sum_t g_ti x_tj|, and signed_i = integral of sum_t g_ti z_ti. `start`, `end`
    and `spread` describe F along the joint path, so they are the same for every FFN matrix.
    """

    def by_rule(rule: Rule, examples: list[int]) -> Values:
        return _by_rule(work, rule, examples)

    return refined(work, by_rule, together)


@dataclass(frozen=True, eq=False)
class _Piece:
    """Gradients, inputs and outputs of one example at one FFN matrix and some path nodes. Rows: (node, text, token).

    Attributes:
        gradient: gradient g at the node, times the node's quadrature weight.
    """

    gradient: Float[Tensor, "row neuron"]
    inputs: Float[Tensor, "row input"]
    outputs: Float[Tensor, "row neuron"]

    def signed(self) -> Float[Tensor, "neuron"]:
        """Return what these nodes add to the integral of gradient times output of each neuron."""
        return torch.einsum("rn,rn->n", self.gradient.double(), self.outputs.double())

    def slope(self) -> Float[Tensor, "neuron input"]:
        """Return what these nodes add to the integral of dF/dW."""
        return self.gradient.T @ self.inputs


@dataclass(frozen=True, eq=False)
class _Sums:
    """Path integrals of all examples, summed over the nodes that have run.

    Attributes:
        met: F of every example at both ends of the path, then at every node.
        slopes: integral of dF/dW for an example whose last nodes have not run yet. There is at most one such example.
    """

    met: Float[Tensor, "node+2 example"]
    magnitude: dict[Site, Float[Tensor, "example neuron"]]
    signed: dict[Site, Float[Tensor, "example neuron"]]
    slopes: dict[tuple[Site, int], Float[Tensor, "neuron input"]] = field(default_factory=dict)

    def add(self, site: Site, example: int, piece: _Piece, size: Float[Tensor, "neuron input"] | None) -> None:
        """Add some path nodes of an example to its integrals. `size` is |W| if these are its last nodes, else None.

        With the last nodes, the magnitude is computed and dF/dW is deleted.
        """
        self.signed[site][example] += piece.signed()
        slope = piece.slope()
        if (site, example) in self.slopes:
            slope += self.slopes.pop((site, example))
        if size is None:
            self.slopes[site, example] = slope
        else:
            self.magnitude[site][example] = (slope.abs_() * size).sum(1)


def _by_rule(work: Work, rule: Rule, examples: list[int]) -> Values:
    sums = _empty(work, rule, len(examples))
    device, largest = work.encoder.device, max(len(work.objective.texts_of(example)) for example in examples)
    nodes, weights = (torch.tensor(x, dtype=torch.float32, device=device) for x in (rule.nodes, rule.weights))
    for some, at in chunks(len(examples), len(nodes), work.rows // largest):
        here = examples[some.start : some.stop]
        part = work.objective.only(here)
        texts = torch.tensor([text for example in here for text in work.objective.texts_of(example)], device=device)
        last = at.stop == len(nodes)
        result = with_slopes(work, Stretch(texts, nodes[at.start : at.stop], "sites"))
        sums.met[2 + at.start : 2 + at.stop, some.start : some.stop] = part.of_examples(result.shares)
        for site, seen in result.sites.items():
            size = site.weight(work.encoder).abs().float() if last else None
            for k in range(len(here)):
                sums.add(site, some.start + k, _piece(seen, weights[at.start : at.stop], part.texts_of(k)), size)
        if last:
            ends = without_slopes(work, Stretch(texts, torch.tensor([0.0, 1.0], device=device), "sites"))
            sums.met[:2, some.start : some.stop] = part.of_examples(ends)
    return {site: _values(sums, site) for site in work.sites}


def _empty(work: Work, rule: Rule, examples: int) -> _Sums:
    device, wide = work.encoder.device, torch.float64
    widths = {site: site.weight(work.encoder).shape[0] for site in work.sites}
    return _Sums(
        met=torch.zeros(2 + len(rule.nodes), examples, dtype=wide, device=device),
        magnitude={site: torch.zeros(examples, width, device=device) for site, width in widths.items()},
        signed={site: torch.zeros(examples, width, dtype=wide, device=device) for site, width in widths.items()},
    )


def _piece(seen: Seen, weights: Float[Tensor, "node"], texts: list[int]) -> _Piece:
    gradient = weights.view(-1, 1, 1, 1) * seen.slope[:, texts]
    return _Piece(gradient.flatten(0, 2), seen.inputs[:, texts].flatten(0, 2), seen.outputs[:, texts].flatten(0, 2))


def _values(sums: _Sums, site: Site) -> SiteValues:
    nodes, examples = sums.met.shape
    return SiteValues(
        magnitude=sums.magnitude[site],
        signed=sums.signed[site],
        start=sums.met[0],
        end=sums.met[1],
        spread=sums.met.amax(0) - sums.met.amin(0),
        nodes=torch.full((examples,), nodes - 2, device=sums.met.device),
    )
