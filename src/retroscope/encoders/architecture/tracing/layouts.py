"""Find the module paths of a model whose family is not in the table, from shapes and values of forward passes.

The forward passes show the list of blocks, the attention of a block, its FFN matrices and which of them passes the
activation, the norms, the embeddings, the final norm, and whether the model takes position ids. If no module, or more
than one, could be such a part, an error names the part. `prove_anatomy` checks the result as it checks a row of the
table.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from retroscope.encoders.architecture.families import Layout
from retroscope.encoders.capture import Call, capture_calls
from retroscope.errors import EncoderError, listed

ATTENTION = ("attn", "attention")  # in the name of a module that has matrices
TOLERANCE = 1e-4  # of what a gated FFN computes, relative to its largest value
SHIFT = 3  # columns of padding that must not move a vector

NamedModules = Mapping[str, nn.Module]
Recorded = Mapping[str, list[Call]]


@dataclass(frozen=True)
class RanMatrix:
    """A weight matrix of a block, with its input and output in one recorded forward pass (`call`).

    Attributes:
        path: dotted path of its module inside the block.
        inputs, outputs: number of its inputs, and of its outputs.
        transposed: whether the weight is stored as [in, out].
    """

    path: str
    inputs: int
    outputs: int
    call: Call
    transposed: bool


@dataclass(frozen=True)
class Ffn:
    """Paths of the FFN matrices of a block. The fields mean the same as in `Layout`."""

    ffn_in: str
    ffn_out: str
    ffn_gate: str | None = None
    fused_gate: bool = False


def traced_layout(model: PreTrainedModel, ids: Int[Tensor, "1 token"]) -> Layout:
    """Find the module paths of a model by running it on one text of token ids.

    Raises:
        EncoderError: if a part of the model cannot be identified. The error names this part.
    """
    width = int(model.config.get_text_config().hidden_size)
    blocks = _blocks(model)
    last = dict(model.get_submodule(blocks).named_children())[str(_count(model) - 1)]
    inside = {path: module for path, module in last.named_modules() if path}
    with torch.no_grad(), capture_calls(inside) as calls:
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    attention = _attention(inside)
    ran = list(_matrices(inside, calls.of))
    of_attention = [matrix for matrix in ran if matrix.path.startswith(f"{attention}.")]
    matrices = [matrix for matrix in ran if not matrix.path.startswith(f"{attention}.")]
    ffn = _ffn(matrices, width)
    outside = _outside(model, blocks)
    final_norm = _final_norm(outside, width)
    embeddings = tuple(path for path in outside if path != final_norm and (_embeds(outside[path]) or "emb" in path))
    if not any(_embeds(outside[path]) for path in embeddings):
        raise _missing("no module outside the blocks contains an embedding")
    layout = Layout(
        blocks=blocks,
        attention=attention,
        attention_out=_attention_out(of_attention, width),
        ffn_in=ffn.ffn_in,
        ffn_gate=ffn.ffn_gate,
        ffn_out=ffn.ffn_out,
        fused_gate=ffn.fused_gate,
        transposed=next(matrix.transposed for matrix in matrices if matrix.path == ffn.ffn_out),
        norms=tuple(_norms(inside, width)),
        embeddings=embeddings,
        final_norm=final_norm,
        causal=_has_cache(model),
        takes_positions=_takes_positions(model, ids),
    )
    return layout


def _missing(what: str) -> EncoderError:
    return EncoderError(
        f"the modules of this model family cannot be detected by a forward pass: {what}",
        fix="add a row for the family to FAMILIES (encoders/architecture/families.py), see docs/how-to/add-a-family.md",
    )


def _count(model: PreTrainedModel) -> int:
    return int(model.config.get_text_config().num_hidden_layers)


def _blocks(model: PreTrainedModel) -> str:
    """Return the path of the only module list whose length is the configured number of blocks."""
    lists = {path: module for path, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    fitting = [path for path, module in lists.items() if len(module) == _count(model)]
    outer = [path for path in fitting if not any(path.startswith(f"{other}.") for other in fitting)]
    if len(outer) != 1:
        sizes = [f"{path}: {len(module)}" for path, module in lists.items()]
        raise _missing(
            f"found {len(outer)} lists of {_count(model)} blocks, expected one; module lists:{listed(sizes)}"
        )
    return str(outer[0])


def _attention(inside: NamedModules) -> str:
    """Return the path of the attention of a block.

    It is the outermost module that has a matrix and whose name contains a word of `ATTENTION`.
    """
    named = [path for path in inside if any(word in path.rpartition(".")[2].lower() for word in ATTENTION)]
    whole = [path for path in named if any(p.dim() > 1 for p in inside[path].parameters())]
    outer = [path for path in whole if not any(path.startswith(f"{other}.") for other in whole)]
    if len(outer) != 1:
        raise _missing(f"found {len(outer)} attention modules in a block, expected one:{listed(outer)}")
    return str(outer[0])


def _attention_out(matrices: list[RanMatrix], width: int) -> str:
    """Return the path of the attention output matrix.

    It is the only matrix of the attention with `width` outputs whose input no other matrix has.
    """
    ending = [
        matrix
        for matrix in matrices
        if matrix.outputs == width and not any(_share_input(matrix, other) for other in matrices)
    ]
    if len(ending) != 1:
        paths = [f"{matrix.path}: {matrix.inputs} to {matrix.outputs}" for matrix in matrices]
        raise _missing(f"found {len(ending)} possible attention output matrices, expected one:{listed(paths)}")
    return ending[0].path


def _share_input(first: RanMatrix, second: RanMatrix) -> bool:
    return first is not second and torch.equal(first.call.input, second.call.input)


def _matrices(inside: NamedModules, calls: Recorded) -> Iterator[RanMatrix]:
    """Yield the weight matrices of a block: modules that ran once and multiply their input by their own `weight`."""
    for path, module in inside.items():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, nn.Parameter) or weight.dim() != 2 or len(calls[path]) != 1:
            continue
        call = calls[path][0]
        inputs, outputs = call.input.shape[-1], call.value.shape[-1]
        if sorted(weight.shape) == sorted((inputs, outputs)):
            yield RanMatrix(path, inputs, outputs, call, tuple(weight.shape) == (inputs, outputs) and inputs != outputs)


def _ffn(matrices: list[RanMatrix], width: int) -> Ffn:
    """Find the FFN matrices of a block: the one that returns the hidden size `width`, and the one or two before it."""
    last = [matrix for matrix in matrices if matrix.outputs == width]
    narrowing = [matrix for matrix in last if matrix.inputs != width] or last[-1:]
    if len(narrowing) != 1:
        paths = [f"{matrix.path}: {matrix.inputs} to {matrix.outputs}" for matrix in matrices]
        raise _missing(f"found {len(narrowing)} FFN matrices with {width} outputs, expected one:{listed(paths)}")
    out = narrowing[0]
    inputs = [matrix for matrix in matrices if matrix is not out and matrix.inputs == width]
    widening = [matrix for matrix in inputs if matrix.outputs == out.inputs]
    fused = [matrix for matrix in inputs if matrix.outputs == 2 * out.inputs]
    if len(widening) == 1 and not fused:
        return Ffn(widening[0].path, out.path)
    if len(widening) == 2 and not fused:
        gate, ungated = _gate(widening, out)
        return Ffn(ungated.path, out.path, gate.path)
    if len(fused) == 1 and not widening:
        _check_fused(fused[0], out)
        return Ffn(fused[0].path, out.path, fused_gate=True)
    paths = [f"{matrix.path}: {matrix.inputs} to {matrix.outputs}" for matrix in matrices]
    raise _missing(f"the matrices outside the attention form neither a plain nor a gated FFN:{listed(paths)}")


def _gate(pair: list[RanMatrix], out: RanMatrix) -> tuple[RanMatrix, RanMatrix]:
    """Order the two input matrices of a gated FFN: first the matrix whose output passes the activation."""
    first, second = pair
    for gate, ungated in ((first, second), (second, first)):
        if _is_gated(gate.call.value, ungated.call.value, out.call.input):
            return gate, ungated
    raise _missing(
        f"it is unclear which of {first.path} and {second.path} passes the activation: for no known activation does "
        f"their product equal the input of {out.path}"
    )


def _check_fused(fused: RanMatrix, out: RanMatrix) -> None:
    first, second = fused.call.value.chunk(2, dim=-1)
    if not _is_gated(first, second, out.call.input):
        raise _missing(
            f"the second half of {fused.path} does not multiply an activation of the first half, as in a gated FFN"
        )


def _is_gated(gate: Tensor, ungated: Tensor, product: Tensor) -> bool:
    """Return whether `product` equals activation(`gate`) * `ungated` for one of the activations of transformers."""
    return any(_close(activation(gate) * ungated, product) for activation in _activations())


def _activations() -> Iterator[nn.Module]:
    for name in ACT2FN:
        if name not in ("swish",):  # silu by another name
            yield ACT2FN[name]


def _close(values: Tensor, expected: Tensor) -> bool:
    return bool((values - expected).abs().max() <= TOLERANCE * expected.abs().max())


def _norms(inside: NamedModules, width: int) -> Iterator[str]:
    """Yield the paths of a block's norms: modules whose parameters are all vectors of the hidden size.

    Norms of queries and keys are left out, because they belong to the attention.
    """
    for path, module in inside.items():
        own = dict(module.named_parameters(recurse=False))
        of_heads = path.rpartition(".")[2].startswith(("q_", "k_"))
        if "weight" in own and not of_heads and all(tuple(p.shape) == (width,) for p in own.values()):
            yield path


def _outside(model: nn.Module, blocks: str) -> dict[str, nn.Module]:
    """Return the outermost modules with parameters that lie outside the blocks, by path. Poolers are left out."""
    modules: dict[str, nn.Module] = {}

    def descend(prefix: str, module: nn.Module) -> None:
        for name, child in module.named_children():
            path = f"{prefix}{name}"
            if path == blocks or name == "pooler":
                continue
            if f"{blocks}.".startswith(f"{path}."):
                descend(f"{path}.", child)
            elif any(True for _ in child.parameters()):
                modules[path] = child

    descend("", model)
    return modules


def _final_norm(outside: NamedModules, width: int) -> str | None:
    """Return the path of the only norm outside blocks and embeddings, or None if there is none.

    `prove_anatomy` tests whether this norm follows the last block.
    """
    norms = [
        path
        for path, module in outside.items()
        if all(tuple(p.shape) == (width,) for p in module.parameters()) and "emb" not in path.lower()
    ]
    if len(norms) > 1:
        raise _missing(f"found {len(norms)} norms outside the blocks, expected at most one:{listed(norms)}")
    return norms[0] if norms else None


def _embeds(module: nn.Module) -> bool:
    return any(isinstance(part, nn.Embedding) for part in module.modules())


def _has_cache(model: PreTrainedModel) -> bool:
    return "use_cache" in model.forward.__code__.co_varnames or bool(getattr(model.config, "use_cache", False))


def _takes_positions(model: PreTrainedModel, ids: Int[Tensor, "1 token"]) -> bool:
    """Return True if padding on the left leaves vectors unchanged with explicit position ids, False if only without.

    Raises:
        EncoderError: if padding changes the vectors with and without position ids.
    """
    for positions in (True, False):
        if _padding_is_harmless(model, ids, positions=positions):
            return positions
    raise _missing("padding on the left changes the vectors, with and without position ids")


def _padding_is_harmless(model: PreTrainedModel, ids: Int[Tensor, "1 token"], *, positions: bool) -> bool:
    filler = torch.full((1, SHIFT), model.config.get_text_config().pad_token_id or 0, device=ids.device)
    padded = torch.cat([filler, ids], dim=1)
    mask = torch.cat([torch.zeros_like(filler), torch.ones_like(ids)], dim=1)
    extra = {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)} if positions else {}
    with torch.no_grad():
        alone = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        try:
            beside = model(input_ids=padded, attention_mask=mask, **extra).last_hidden_state
        except TypeError:  # the forward pass takes no positions
            return False
    return _close(beside[:, SHIFT:], alone)
