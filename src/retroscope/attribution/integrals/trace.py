"""Record one forward pass of a batch, so that the network above any FFN matrix can run again from the record."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from retroscope.attribution.sites import Site
from retroscope.encoders.capture import Calls, Rows, call_again, capture_calls, first_tensor, stand_in
from retroscope.encoders.encode import Batch, model_inputs
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.pooling import pooling_of


@dataclass(frozen=True, eq=False)
class Trace:
    """One recorded forward pass of a batch.

    Attributes:
        calls: recorded inputs and outputs by module: blocks ("1".."L"), their attention ("1 attention" ...), and FFN
            matrices (by module path).
        pooled: True for the tokens that are pooled.
        vectors: the pooled last layer of every text.
    """

    encoder: Encoder
    calls: Calls
    pooled: Bool[Tensor, "text token"]
    vectors: Float[Tensor, "text dim"]

    def inputs(self, site: Site) -> Float[Tensor, "text token input"]:
        """Return the recorded inputs of an FFN matrix."""
        return self._by_text(self.calls.only(site.path).input)

    def outputs(self, site: Site) -> Float[Tensor, "text token neuron"]:
        """Return the recorded outputs W x + b of an FFN matrix."""
        return self._by_text(site.units(self.calls.only(site.path).value))

    def _by_text(self, values: Tensor) -> Tensor:
        """Reshape values to (text, token, ...). OPT has texts and tokens in one dimension."""
        return values.reshape(*self.pooled.shape, values.shape[-1])


@torch.no_grad()
def trace(encoder: Encoder, batch: Batch) -> Trace:
    """Run a batch once, and return the inputs and outputs of all blocks, attentions and FFN matrices."""
    modules = _watched(encoder)
    with capture_calls(modules) as calls:
        hidden = encoder.backbone(**model_inputs(encoder, batch), output_hidden_states=True).hidden_states[-1]
    return Trace(encoder, calls, batch.pooled, pool(encoder, hidden, batch.pooled))


def pool(encoder: Encoder, hidden: Tensor, pooled: Bool[Tensor, "text token"]) -> Float[Tensor, "text dim"]:
    """Pool the last layer in float32, and apply the model's own pooler (a dense layer) if the recipe uses it."""
    vectors: Tensor = pooling_of(encoder)(hidden.float(), pooled)
    return vectors


def run_from(
    record: Trace, site: Site, values: Float[Tensor, "row token neuron"], texts: Int[Tensor, "row"]
) -> Float[Tensor, "row dim"]:
    """Return the pooled last layer if an FFN matrix (`site`) has the outputs `values`. Only the network above it runs.

    Args:
        values: outputs of the FFN matrix for each row.
        texts: for each row, the index of its text in the recorded batch.
    """
    encoder, rows = record.encoder, Rows(texts, *record.pooled.shape)
    with _ffn_replaced(record, site, values, rows):
        hidden = _block(record, site.layer, _input(record, site.layer, rows), rows)
    for layer in range(site.layer + 1, encoder.anatomy.n_blocks + 1):
        hidden = _block(record, layer, hidden, rows)
    norm = encoder.anatomy.layout.final_norm
    if norm is not None:
        hidden = encoder.backbone.get_submodule(norm)(hidden)
    return pool(encoder, hidden, rows.take(record.pooled))


def recorded_tensors(record: Trace) -> list[Tensor]:
    """Return all tensors that a recorded pass holds in memory."""
    tensors: list[Tensor] = [record.vectors]

    def visit(value: object) -> None:
        if isinstance(value, Tensor):
            tensors.append(value)
        elif isinstance(value, (tuple, list)):
            for item in value:
                visit(item)
        elif isinstance(value, Mapping):
            visit(list(value.values()))

    for calls in record.calls.of.values():
        for call in calls:
            visit((call.args, call.kwargs, call.output))
    return tensors


def _watched(encoder: Encoder) -> dict[str, nn.Module]:
    anatomy, backbone = encoder.anatomy, encoder.backbone
    blocks = {str(k): block for k, block in enumerate(anatomy.blocks(backbone), start=1)}
    attention = {f"{k} attention": _attention(encoder, k) for k in range(1, anatomy.n_blocks + 1)}
    return {**blocks, **attention, **anatomy.ffn(backbone)}


def _attention(encoder: Encoder, layer: int) -> nn.Module:
    module: nn.Module = encoder.backbone.get_submodule(encoder.anatomy.path("attention", layer - 1))
    return module


def _input(record: Trace, layer: int, rows: Rows) -> Tensor:
    return rows.take(record.calls.only(str(layer)).input)


def _block(record: Trace, layer: int, hidden: Tensor, rows: Rows) -> Tensor:
    block = record.encoder.anatomy.blocks(record.encoder.backbone)[layer - 1]
    return call_again(block, record.calls.only(str(layer)), hidden, rows)


@contextmanager
def _ffn_replaced(record: Trace, site: Site, values: Tensor, rows: Rows) -> Iterator[None]:
    """While the context is open, let an FFN matrix's block compute only what depends on the matrix's outputs.

    The matrix (`site`) returns `values`. The block's attention returns its recorded output. So do FFN matrices whose
    input does not depend on this matrix.
    """
    encoder, calls = record.encoder, record.calls
    attention = f"{site.layer} attention"
    modules = {attention: _attention(encoder, site.layer)}
    outputs = {attention: _as_recorded(calls.only(attention).output, rows)}
    for role in encoder.anatomy.layout.ffn():
        path = encoder.anatomy.path(role, site.block)
        if path == site.path or role != "ffn_out":
            modules[path] = encoder.backbone.get_submodule(path)
            outputs[path] = _stand_in_for(record, path, site, values, rows)
    with stand_in(modules, outputs):
        yield


def _as_recorded(output: Any, rows: Rows) -> Any:
    """Return the recorded output of an attention module for some rows.

    It is a tensor of hidden states or, in some model families, a tuple of hidden states and more tensors.
    """
    if isinstance(output, Tensor):
        return rows.take(output)
    return (rows.take(first_tensor(output[:1])), *rows.of(output[1:]))


def _stand_in_for(record: Trace, path: str, site: Site, values: Tensor, rows: Rows) -> Tensor:
    recorded = record.calls.only(path).value
    if path == site.path:
        return _as_module(record, site, values, rows).reshape(-1, *_tail(recorded))
    if site.role == "ffn_out":  # nobody reads it: as little as an activation and a split in two can work on
        return recorded[..., :2][:1]
    return _chosen(recorded, record, rows).reshape(-1, *_tail(recorded))


def _as_module(record: Trace, site: Site, values: Tensor, rows: Rows) -> Tensor:
    """Return the output of the module of an FFN matrix (`site`), if the matrix has the outputs `values`.

    If the module holds two matrices, the half of the output that belongs to the other matrix is the recorded one.
    """
    if site.half is None:
        return values
    recorded = _chosen(record.calls.only(site.path).value, record, rows)
    halves = list(recorded.chunk(2, dim=-1))
    halves[site.half] = values
    return torch.cat(halves, dim=-1)


def _chosen(recorded: Tensor, record: Trace, rows: Rows) -> Tensor:
    return rows.take(recorded.reshape(*record.pooled.shape, recorded.shape[-1]))


def _tail(recorded: Tensor) -> tuple[int, ...]:
    """Return the shape after the first dimension: [token, hidden], or [hidden] if texts and tokens share the first."""
    return tuple(recorded.shape[1:])
