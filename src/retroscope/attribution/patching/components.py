"""The components of a network whose activations can be patched: attention heads, FFNs and blocks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from retroscope.attribution.heads.sites import find_heads
from retroscope.encoders.capture import Calls, capture_calls, rewrite_inputs, rewrite_outputs
from retroscope.encoders.encode import Batch, model_inputs
from retroscope.encoders.encoder import Encoder

COMPONENTS = ("head", "ffn", "block")


@dataclass(frozen=True)
class Component:
    """One component of a network whose activation can be patched: a head, an FFN or a block.

    Attributes:
        kind: a name in `COMPONENTS`. The activation of a head is its slice of the input of the attention output matrix.
            That of an FFN is the output of its last matrix. That of a block is the block's output.
        layer: the layer (1..L) of its block.
        path: path, from the backbone, of the module whose input (head) or output (FFN, block) is patched.
        part: slice of a head in the input of the module, or None for an FFN or a block.
        name: e.g. "head 2.0" (layer 2, head 0), "ffn 2" or "block 2".
    """

    kind: str
    layer: int
    path: str
    part: slice | None
    name: str

    def of(self, states: Tensor) -> Tensor:
        """Select the component's activation from its module's states: a head's slice, or all for an FFN or block."""
        return states if self.part is None else states[..., self.part]


def find_components(encoder: Encoder, kinds: Sequence[str]) -> list[Component]:
    """Return all components of some kinds ("head", "ffn", "block"), ordered by kind, then by layer."""
    anatomy, sites = encoder.anatomy, find_heads(encoder)
    layers = range(1, anatomy.n_blocks + 1)
    by_kind = {
        "head": [Component("head", h.layer, sites.path(h), sites.part(h.head), f"head {h}") for h in sites.every],
        "ffn": [Component("ffn", k, anatomy.path("ffn_out", k - 1), None, f"ffn {k}") for k in layers],
        "block": [Component("block", k, f"{anatomy.layout.blocks}.{k - 1}", None, f"block {k}") for k in layers],
    }
    return [component for kind in kinds for component in by_kind[kind]]


@dataclass(frozen=True, eq=False)
class Activations:
    """The activations of every component in one pass over a batch.

    Attributes:
        batch: the token ids of the batch.
        calls: recorded inputs and outputs of the components' modules.
    """

    batch: Batch
    calls: Calls

    def of(self, component: Component) -> Float[Tensor, "text token width"]:
        """Return the activation of a component at every token of every text."""
        call = self.calls.only(component.path)
        states = call.value if component.part is None else component.of(call.input)
        return states.reshape(*self.batch.ids.shape, states.shape[-1])  # OPT has texts and tokens in one dimension


@torch.inference_mode()
def activations(encoder: Encoder, batch: Batch, components: Sequence[Component]) -> Activations:
    """Run a batch once and record the activation of every component."""
    modules: dict[str, nn.Module] = {
        component.path: encoder.backbone.get_submodule(component.path) for component in components
    }
    with capture_calls(modules) as calls:
        encoder.backbone(**model_inputs(encoder, batch))
    return Activations(batch, calls)


def brought(
    values: Float[Tensor, "text other width"], source: Int[Tensor, "text token"]
) -> Float[Tensor, "text token width"]:
    """Return activations in the order of the tokens at which they are patched in.

    Args:
        values: activations of a batch whose texts may have another length.
        source: for each token to patch, the position of its activation in `values`. Tokens with -1 get arbitrary
            values.
    """
    index = source.clamp(min=0)[..., None].expand(-1, -1, values.shape[-1])
    return values.gather(1, index)


@contextmanager
def patched(
    encoder: Encoder, component: Component, values: Float[Tensor, "text token width"], where: Bool[Tensor, "text token"]
) -> Iterator[None]:
    """Replace the activation of a component by `values` at the tokens in `where` while the context is open."""
    module = {component.path: encoder.backbone.get_submodule(component.path)}

    def put(path: str, states: Tensor) -> Tensor:
        changed = states.reshape(*where.shape, states.shape[-1]).clone()
        own = component.of(changed)
        new: Tensor = torch.where(where[..., None], values.to(states.dtype), own)
        if component.part is None:
            return new.reshape(states.shape)
        changed[..., component.part] = new
        return changed.reshape(states.shape)

    rewrite = rewrite_outputs if component.part is None else rewrite_inputs
    with rewrite(module, put):
        yield


def random_patch(
    own: Float[Tensor, "text token width"], clean: Float[Tensor, "text token width"], seed: int
) -> Float[Tensor, "text token width"]:
    """Return `own` activations, moved in a random direction by |clean - own| at every token.

    Args:
        own: activations of the donor model on the corrupted text.
        clean: activations of the donor model on the clean text, which the real patch uses, at the same tokens.
    """
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(own.shape, generator=generator).to(own.device)
    size: Tensor = (clean - own).norm(dim=-1, keepdim=True)
    moved: Tensor = own + direction * (size / direction.norm(dim=-1, keepdim=True).clamp(min=1e-12))
    return moved
