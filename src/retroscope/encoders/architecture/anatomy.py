"""Find the blocks and matrices of a loaded model, and verify them by a forward pass.

Layer 0 is the input of the first block. Layer k is the output of block k (blocks are numbered from 1). The last layer
includes the final norm if the family has one (`Anatomy.post_norm`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from retroscope.encoders.architecture.families import FAMILIES, Layout
from retroscope.encoders.architecture.tracing.layouts import traced_layout
from retroscope.encoders.capture import Calls, capture_calls
from retroscope.errors import EncoderError, listed

PARTS = ("attention", "ffn_in", "ffn_gate", "ffn_out", "norm", "embedding", "final_norm", "other")
PROOF_TOKENS = 8


@dataclass(frozen=True)
class Anatomy:
    """The structure of one model: the module paths of its blocks, attention, FFN matrices and norms.

    Attributes:
        family: the `model_type` of its configuration.
        layout: the module paths, relative to the backbone or to a block.
        n_blocks: number of blocks, L. The model has L + 1 layers, 0 to L.
        post_norm: whether the last layer includes the final norm. No lower layer does.
        causal: whether attention is causal: a token attends only to itself and to earlier tokens.
    """

    family: str
    layout: Layout
    n_blocks: int
    post_norm: bool
    causal: bool

    def path(self, part: str, block: int) -> str:
        """Return the dotted module path of one part (e.g. an FFN matrix) of one block, relative to the backbone.

        Args:
            part: a key of `Layout.in_block`, e.g. "ffn_out".
            block: index of the block, from 0.
        """
        return f"{self.layout.blocks}.{block}.{self.layout.in_block()[part]}"

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the block modules of the backbone, the first block first."""
        return [model.get_submodule(f"{self.layout.blocks}.{k}") for k in range(self.n_blocks)]

    def ffn(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return every FFN matrix by its dotted path, block by block."""
        paths = [self.path(part, k) for k in range(self.n_blocks) for part in self.layout.ffn()]
        return {path: model.get_submodule(path) for path in paths}

    def attention_outputs(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return the attention output matrix of every block by its dotted path.

        This matrix maps the concatenated outputs of the heads to the hidden size.
        """
        paths = [f"{self.layout.blocks}.{k}.{self.layout.attention_out}" for k in range(self.n_blocks)]
        return {path: model.get_submodule(path) for path in paths}

    def part_of(self, parameter: str) -> tuple[int | None, str]:
        """Return the index of a parameter's block, and its kind of module: attention, FFN matrix, norm ... (`PARTS`).

        The index starts at 0. It is None for a parameter outside the blocks.
        """
        prefix = f"{self.layout.blocks}."
        if parameter.startswith(prefix):
            block, _, rest = parameter.removeprefix(prefix).partition(".")
            return int(block), _longest(rest, self.layout.in_block())
        outside = {f"embedding.{i}": path for i, path in enumerate(self.layout.embeddings)}
        if self.layout.final_norm:
            outside["final_norm"] = self.layout.final_norm
        return None, _longest(parameter, outside)


def _longest(parameter: str, parts: Mapping[str, str]) -> str:
    fitting = {len(path): part for part, path in parts.items() if f"{parameter}.".startswith(f"{path}.")}
    return fitting[max(fitting)].partition(".")[0] if fitting else "other"


def find_anatomy(model: PreTrainedModel) -> Anatomy:
    """Find the module paths of a model, without verifying them (`prove_anatomy` does).

    They come from the row of the model's family in `FAMILIES`. Without a row, one forward pass finds them.
    """
    family = model.config.model_type
    layouts = FAMILIES[family] if family in FAMILIES else (traced_layout(model, _proof_ids(model)),)
    for layout in layouts:
        if not _absent(model, layout):
            blocks = model.get_submodule(layout.blocks)
            n_blocks = len(list(blocks.children()))
            return Anatomy(family, layout, n_blocks, post_norm=layout.final_norm is not None, causal=layout.causal)
    absent = _absent(model, layouts[-1])
    raise EncoderError(
        f"{type(model).__name__} of family {family!r} lacks modules that models of this family have:{listed(absent)}",
        fix="load the backbone without a task head; if transformers renamed the modules of this family, correct "
        "FAMILIES in encoders/architecture/families.py",
    )


def _absent(model: nn.Module, layout: Layout) -> list[str]:
    outside = [layout.blocks, *layout.embeddings, *([layout.final_norm] if layout.final_norm else [])]
    absent = [path for path in outside if not _exists(model, path)]
    if layout.blocks in absent:
        return absent
    # the last block: a first block may lack a norm that all others have (ModernBERT's attn_norm is an Identity there)
    last = len(list(model.get_submodule(layout.blocks).children())) - 1
    inside = [f"{layout.blocks}.{last}.{path}" for path in (*layout.in_block().values(), layout.attention_out)]
    return absent + [path for path in inside if not _exists(model, path)]


def _exists(model: nn.Module, path: str) -> bool:
    module: nn.Module | None = model
    for name in path.split("."):
        module = dict(module.named_children()).get(name) if module is not None else None
    return module is not None


def prove_anatomy(model: PreTrainedModel) -> Anatomy:
    """Verify the module paths of a model by a forward pass, and measure `Anatomy.post_norm` and `Anatomy.causal`.

    For a model of L blocks, exact comparisons check that

    - there are L + 1 hidden states;
    - layer 0 is the input of the first block, and layer k is the output of block k;
    - the last layer is the output of the last block, or the final norm of this output;
    - every FFN matrix runs exactly once, and the last FFN matrix of a block returns the hidden size;
    - every attention output matrix runs exactly once, and has equally many inputs for each head.

    Raises:
        EncoderError: if a layer contains NaN, or one of these checks fails.
    """
    anatomy = find_anatomy(model)
    ids = _proof_ids(model)
    modules = _watched(model, anatomy)
    with torch.no_grad(), capture_calls(modules) as calls:
        output = model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
    layers: tuple[Tensor, ...] = output.hidden_states
    broken = [k for k, layer in enumerate(layers) if bool(layer.isnan().any())]
    if broken:
        raise EncoderError(
            f"the hidden states of the layers {broken} contain NaN values",
            fix="check that all weights of the checkpoint are finite; half precision may overflow, so try float32 "
            "(e.g. --set after.load.dtype=float32; in Python dtype='float32')",
        )
    problems = _layer_problems(anatomy, layers, output.last_hidden_state, calls) + _ffn_problems(anatomy, layers, calls)
    problems += _head_problems(model, anatomy, calls)
    if problems:
        known = anatomy.family in FAMILIES
        layout = f"the table row of family {anatomy.family!r}" if known else "the layout that a forward pass suggests"
        raise EncoderError(
            f"{type(model).__name__} differs in structure from {layout}:{listed(problems)}",
            fix=f"{'correct the row of' if known else 'add a row for'} this family in FAMILIES "
            "(encoders/architecture/families.py), see docs/how-to/add-a-family.md",
        )
    return replace(anatomy, post_norm=_post_norm(anatomy, layers, calls), causal=_looks_back_only(model, ids, layers))


def _proof_ids(model: PreTrainedModel) -> Int[Tensor, "1 token"]:
    """Return one text of up to `PROOF_TOKENS` different token ids, none of which is padding."""
    config = model.config.get_text_config()
    ids = [i for i in range(min(config.vocab_size, PROOF_TOKENS + 1)) if i != config.pad_token_id][:PROOF_TOKENS]
    return torch.tensor([ids], device=model.device)


def _watched(model: nn.Module, anatomy: Anatomy) -> dict[str, nn.Module]:
    blocks = {str(k + 1): block for k, block in enumerate(anatomy.blocks(model))}
    norm = anatomy.layout.final_norm
    matrices = {**anatomy.ffn(model), **anatomy.attention_outputs(model)}
    return {**blocks, **matrices, **({"final norm": model.get_submodule(norm)} if norm else {})}


def _layer_problems(anatomy: Anatomy, layers: tuple[Tensor, ...], last: Tensor, calls: Calls) -> list[str]:
    n = anatomy.n_blocks
    watched = [str(k + 1) for k in range(n)] + (["final norm"] if anatomy.layout.final_norm else [])
    problems = [f"block or norm {name} ran {len(calls.of[name])} times" for name in watched if len(calls.of[name]) != 1]
    if len(layers) != n + 1:
        problems.append(f"{len(layers)} hidden states for {n} blocks (expected {n + 1})")
    if problems:
        return problems
    if not torch.equal(layers[0], calls.only("1").input):
        problems.append("layer 0 is not the input of the first block")
    wrong = [k for k in range(1, n) if not torch.equal(layers[k], calls.only(str(k)).value)]
    problems += [f"layer {k} is not the output of block {k}" for k in wrong]
    if not torch.equal(layers[n], last):
        problems.append(f"layer {n} is not the last hidden state")
    return problems + _last_problems(anatomy, layers[n], calls)


def _last_problems(anatomy: Anatomy, last: Tensor, calls: Calls) -> list[str]:
    n = anatomy.n_blocks
    block = calls.only(str(n)).value
    if anatomy.layout.final_norm is None:
        return (
            []
            if torch.equal(last, block)
            else [f"layer {n} is not the output of block {n}, and the family has no final norm"]
        )
    norm = calls.only("final norm")
    problems = [] if torch.equal(norm.input, block) else [f"the input of the final norm is not the output of block {n}"]
    if not torch.equal(last, norm.value):
        problems.append(f"layer {n} is not the output of the final norm")
    return problems


def _ffn_problems(anatomy: Anatomy, layers: tuple[Tensor, ...], calls: Calls) -> list[str]:
    problems = []
    for k in range(anatomy.n_blocks):
        for part in anatomy.layout.ffn():
            path = anatomy.path(part, k)
            if len(calls.of[path]) != 1:
                problems.append(f"{path} ran {len(calls.of[path])} times (expected 1)")
            elif part == "ffn_out" and calls.only(path).value.shape[-1] != layers[0].shape[-1]:
                problems.append(f"{path} does not return the hidden size {layers[0].shape[-1]}")
    return problems


def _head_problems(model: PreTrainedModel, anatomy: Anatomy, calls: Calls) -> list[str]:
    heads = n_heads(model)
    problems = []
    for path in anatomy.attention_outputs(model):
        if len(calls.of[path]) != 1:
            problems.append(f"{path} ran {len(calls.of[path])} times (expected 1)")
        elif calls.only(path).input.shape[-1] % heads:
            problems.append(f"{path} has {calls.only(path).input.shape[-1]} inputs, no multiple of its {heads} heads")
    return problems


def n_heads(model: PreTrainedModel) -> int:
    """Return the number of attention heads of a block (query heads, if several share keys and values)."""
    return int(model.config.get_text_config().num_attention_heads)


def _post_norm(anatomy: Anatomy, layers: tuple[Tensor, ...], calls: Calls) -> bool:
    if anatomy.layout.final_norm is None:
        return False
    return torch.equal(layers[-1], calls.only("final norm").value)


def _looks_back_only(model: PreTrainedModel, ids: Int[Tensor, "1 token"], layers: tuple[Tensor, ...]) -> bool:
    """Return whether attention is causal.

    It is if another last token leaves the states of all earlier tokens the same, bit for bit.
    """
    altered = ids.clone()
    altered[0, -1] = ids[0, 0]
    with torch.no_grad():
        changed = model(input_ids=altered, attention_mask=torch.ones_like(ids)).last_hidden_state
    return torch.equal(changed[:, :-1], layers[-1][:, :-1])
