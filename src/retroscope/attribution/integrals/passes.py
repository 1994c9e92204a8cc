"""Run the whole network at nodes of a path, and record inputs, outputs and gradients of F at every FFN matrix.

A row of a pass is one text at one node. `weight_path` does not use this module, because it runs only the network above
one FFN matrix. The other methods also change the network below.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from retroscope.attribution.integrals.paths import Work, pairs
from retroscope.attribution.integrals.trace import pool
from retroscope.attribution.sites import Site
from retroscope.encoders.capture import Calls, capture_calls, rewrite_inputs, rewrite_outputs
from retroscope.encoders.encode import model_inputs


@dataclass(frozen=True, eq=False)
class Seen:
    """Inputs, outputs and gradients of one FFN matrix (a site), recorded during a pass.

    Attributes:
        inputs: inputs x of the FFN matrix.
        outputs: outputs W x + b, before they are scaled by the node.
        slope: gradient of F with respect to the outputs after scaling.
    """

    inputs: Float[Tensor, "node text token input"]
    outputs: Float[Tensor, "node text token neuron"]
    slope: Float[Tensor, "node text token neuron"]


@dataclass(frozen=True, eq=False)
class Pass:
    """Result of one pass at path nodes: each text's contribution to F, and what was recorded at each FFN matrix."""

    shares: Float[Tensor, "node text"]
    sites: Mapping[Site, Seen]


@dataclass(frozen=True, eq=False)
class Stretch:
    """The texts and path nodes of one pass. Each (node, text) pair is one row, ordered by node, then by text.

    Attributes:
        texts: indices of the texts in the batch.
        nodes: scale factors, 0 to 1.
        scaled: what is multiplied by the nodes: "sites" (the outputs W x + b of all sites) or "layer 0" (the input of
            block 1).
    """

    texts: Int[Tensor, "text"]
    nodes: Float[Tensor, "node"]
    scaled: str

    @property
    def index(self) -> Int[Tensor, "row"]:
        """Return, for every row, the index of its text in the batch."""
        return pairs(self.texts, len(self.nodes))

    def scale(self, states: Tensor) -> Tensor:
        """Multiply the states of each row by the scale factor of its node."""
        factors = self.nodes.repeat_interleave(len(self.texts)).view(-1, 1, 1)
        by_row = states.reshape(len(factors), -1, states.shape[-1])
        return (factors * by_row).to(states.dtype).reshape(states.shape)

    def apart(self, states: Tensor) -> Float[Tensor, "node text token hidden"]:
        """Return the rows with the shape (node, text, token, hidden), in float32 and detached from autograd."""
        return states.detach().reshape(len(self.nodes), len(self.texts), -1, states.shape[-1]).float()


@dataclass(frozen=True, eq=False)
class _Tap:
    """Records the output of every FFN matrix (`raw`), and the scaled output that replaces it (`used`)."""

    work: Work
    along: Stretch
    raw: dict[Site, Tensor] = field(default_factory=dict)
    used: dict[Site, Tensor] = field(default_factory=dict)

    def edit(self, path: str, output: Tensor) -> Tensor:
        """Record and scale the output of the module at `path`, or the half of it that is an attributed FFN matrix."""
        sites = {site.half: site for site in self.work.sites if site.path == path}
        halves = [output] if None in sites else list(output.chunk(2, dim=-1))
        for half, site in sites.items():
            halves[half or 0] = self._used(site, halves[half or 0])
        return halves[0] if None in sites else torch.cat(halves, dim=-1)

    def _used(self, site: Site, output: Tensor) -> Tensor:
        used = self.along.scale(output) if self.along.scaled == "sites" else output
        self.raw[site], self.used[site] = output, used
        if torch.is_grad_enabled() and not used.requires_grad:
            used.requires_grad_()  # the lowest sites: nothing below them wants a gradient
        return used


def with_slopes(work: Work, along: Stretch) -> Pass:
    """Run forward and backward at path nodes. Return each text's contribution to F, and gradients by FFN matrix."""
    tap = _Tap(work, along)
    modules = _modules(work)
    with torch.enable_grad(), capture_calls(modules) as calls, rewrite_outputs(modules, tap.edit):
        shares = _shares(work, along)
        slopes = torch.autograd.grad(shares.sum(), list(tap.used.values()), allow_unused=True)
    slope_of = dict(zip(tap.used, slopes, strict=True))
    seen = {site: _seen(along, site, tap.raw[site], slope_of[site], calls) for site in work.sites}
    return Pass(shares.detach().view(len(along.nodes), -1), seen)


@torch.no_grad()
def without_slopes(work: Work, along: Stretch) -> Float[Tensor, "node text"]:
    """Run the network forward only, and return each text's contribution to F at every path node."""
    with rewrite_outputs(_modules(work), _Tap(work, along).edit):
        return _shares(work, along).view(len(along.nodes), -1)


def _seen(along: Stretch, site: Site, raw: Tensor, slope: Tensor | None, calls: Calls) -> Seen:
    steep = torch.zeros_like(raw) if slope is None else slope  # F does not depend on it
    return Seen(along.apart(calls.only(site.path).input), along.apart(raw), along.apart(steep))


def _modules(work: Work) -> dict[str, nn.Module]:
    return {site.path: work.encoder.backbone.get_submodule(site.path) for site in work.sites}


def _shares(work: Work, along: Stretch) -> Float[Tensor, "row"]:
    """Run the network on all rows (one text at one node each), and return each row's contribution to F."""
    encoder, index = work.encoder, along.index
    whole = work.batch
    batch = replace(whole, ids=whole.ids[index], mask=whole.mask[index], pooled=whole.pooled[index])
    with work.cast(), _layer_0(work, along):
        hidden = encoder.backbone(**model_inputs(encoder, batch), output_hidden_states=True).hidden_states[-1]
        return work.objective.of_texts(encoder, pool(encoder, hidden, batch.pooled), index)


def _layer_0(work: Work, along: Stretch) -> AbstractContextManager[None]:
    """Return a context manager that scales the input of block 1 by the path nodes of `along`.

    It changes nothing if `along.scaled` is "sites".
    """
    first = {"1": work.encoder.anatomy.blocks(work.encoder.backbone)[0]}
    return rewrite_inputs(first if along.scaled == "layer 0" else {}, lambda name, states: along.scale(states))
