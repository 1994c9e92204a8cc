"""Verify that every weight of a loaded model equals the checkpoint's, value by value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from retroscope.encoders.checks.disk import Disk, by_ending
from retroscope.encoders.checks.proofs import LoadingProof
from retroscope.errors import EncoderError, listed

# Tensors that a checkpoint may hold and a bare backbone has no use for: name pattern -> what they are.
UNUSED: Mapping[str, str] = {
    r"^(lm_head|embed_out|generator_lm_head)\.": "language-model head",
    r"^(cls|generator_predictions|discriminator_predictions|lm_predictions|mask_predictions)\.": "pre-training head",
    r"^vocab_(transform|layer_norm|projector)\.": "masked-language-model head (DistilBERT)",
    r"^(classifier|pre_classifier|score|qa_outputs)\.": "classification head",
    r"(^|\.)pooler\.": "pooler that the class does not build",
    r"(^|\.)position_ids$": "position numbers that old versions saved",
    r"\.rotary_emb\.inv_freq$": "rotary frequencies that old versions saved",
    r"\.(attn|attention)\.(bias|masked_bias)$": "causal mask that old versions saved",
}
UNUSED_IN: Mapping[str, Mapping[str, str]] = {
    "t5": {r"^decoder\.": "decoder: only the encoder is used"},
    "mt5": {r"^decoder\.": "decoder: only the encoder is used"},
    "umt5": {r"^decoder\.": "decoder: only the encoder is used"},
    "modernbert": {r"^(head|decoder)\.": "masked-language-model head"},
}


@dataclass(frozen=True)
class Comparison:
    """Comparison of a model's tensors with those of its checkpoint.

    Attributes:
        equal: names of the model's tensors whose values are in the checkpoint.
        strange: names of the model's tensors whose values are not in the checkpoint.
        unused: names of the checkpoint's tensors that the model does not use.
    """

    equal: tuple[str, ...]
    strange: tuple[str, ...]
    unused: tuple[str, ...]


def compare_with_disk(model: nn.Module, disk: Disk) -> Comparison:
    """Compare every tensor of the model with the checkpoint's tensors, in the model's number format.

    A tensor of the model is compared first with the checkpoint's tensor of the same name, then with every tensor of the
    same shape.
    """
    candidates = by_ending(disk.files)
    shapes = disk.shapes()
    equal, strange, used = [], [], set()
    for name, tensor in model.state_dict().items():
        match = _find(tensor, [*candidates.get(name, []), *_same_shape(shapes, tensor)], disk)
        if match is None:
            strange.append(name)
        else:
            equal.append(name)
            used.update([match, *candidates.get(name, [])[:1]])
    unused = [name for name in disk.files if name not in used]
    return _with_pieces(Comparison(tuple(equal), tuple(strange), tuple(unused)), model.state_dict(), disk)


def _with_pieces(comparison: Comparison, state: Mapping[str, Tensor], disk: Disk) -> Comparison:
    """Count tensors that transformers cuts out of larger ones (e.g. q, k, v) as equal, and return the new comparison.

    Such a tensor equals consecutive rows of an otherwise unused tensor of the checkpoint. The larger tensor counts as
    used if all of its rows are found in this way.
    """
    shapes = disk.shapes()
    cut, whole = set[str](), set[str]()
    for name in comparison.unused:
        pieces = [piece for piece in comparison.strange if state[piece].shape[1:] == shapes[name][1:]]
        places = {piece: _place(state[piece], disk.tensor(name)) for piece in pieces}
        rows = {
            row
            for piece, start in places.items()
            if start is not None
            for row in range(start, start + len(state[piece]))
        }
        cut |= {piece for piece, start in places.items() if start is not None}
        whole |= {name} if len(rows) == shapes[name][0] else set()
    return Comparison(
        (*comparison.equal, *(piece for piece in comparison.strange if piece in cut)),
        tuple(piece for piece in comparison.strange if piece not in cut),
        tuple(piece for piece in comparison.unused if piece not in whole),
    )


def _place(piece: Tensor, tensor: Tensor) -> int | None:
    """Return the index of the row of `tensor` at which the rows of `piece` start, or None if there is none.

    Only multiples of `len(piece)` are tried.
    """
    mine, theirs = piece.detach().cpu(), tensor.to(piece.dtype)
    starts = range(0, len(theirs) - len(mine) + 1, max(1, len(mine)))
    return next((start for start in starts if _same_values(theirs[start : start + len(mine)], mine)), None)


def _same_shape(shapes: Mapping[str, tuple[int, ...]], tensor: Tensor) -> list[str]:
    return [name for name, shape in shapes.items() if shape == tuple(tensor.shape)]


def _find(tensor: Tensor, candidates: list[str], disk: Disk) -> str | None:
    mine = tensor.detach().cpu()
    for name in candidates:
        theirs = disk.tensor(name)
        if theirs.shape == mine.shape and _same_values(theirs.to(mine.dtype), mine):
            return name
    return None


def _same_values(theirs: Tensor, mine: Tensor) -> bool:
    """Compare two tensors exactly. NaN counts as equal to NaN."""
    return torch.equal(theirs, mine) or (
        bool(mine.isnan().any()) and torch.allclose(theirs, mine, rtol=0, atol=0, equal_nan=True)
    )


def prove_loaded(model: nn.Module, info: Mapping[str, Any], disk: Disk, family: str) -> LoadingProof:
    """Verify that the weights of a loaded model are the checkpoint's, and return the evidence.

    The loading report alone is not trusted: the tensors are also compared with the files, which reveals a tensor that
    was silently initialised.

    Args:
        info: the loading report, from `from_pretrained(..., output_loading_info=True)`.

    Raises:
        EncoderError: names every missing, reshaped, altered or unexpected tensor.
    """
    comparison = compare_with_disk(model, disk)
    reshaped = [f"{name}: checkpoint {tuple(a)}, model {tuple(b)}" for name, a, b in info["mismatched_keys"]]
    refuse_nan(model, str(disk.folder))
    missing = set(info["missing_keys"])
    skipped = missing | {name for name, _, _ in info["mismatched_keys"]}
    unused = sorted({*comparison.unused, *info["unexpected_keys"]})
    known = [name for name in unused if unused_reason(name, family)]
    problems = [f"missing from the checkpoint: {name}" for name in sorted(missing)]
    problems += [f"reshaped: {text}" for text in reshaped]
    problems += [f"not the checkpoint's values: {name}" for name in comparison.strange if name not in skipped]
    problems += [f"not used by the model: {name}" for name in unused if name not in known]
    if problems:
        raise EncoderError(
            f"the loaded {type(model).__name__} differs from the checkpoint:{listed(problems)}",
            where=str(disk.folder),
            fix="use the config.json that was saved with these weights; weights that are missing would be random",
        )
    return LoadingProof(str(disk.folder), len(comparison.equal), unexpected=tuple(known))


def refuse_nan(model: nn.Module, where: str) -> None:
    """Refuse weights with NaN, because they may affect only some vectors and stay unnoticed."""
    broken = [
        name for name, tensor in model.state_dict().items() if tensor.is_floating_point() and tensor.isnan().any()
    ]
    if broken:
        raise EncoderError(
            f"these weights contain NaN:{listed(broken)}",
            where=where,
            fix="use another copy of the checkpoint, or an earlier checkpoint of the same training",
        )


def unused_reason(name: str, family: str) -> str | None:
    """Return why a bare backbone of the family does not need the tensor `name`, or None if it needs it."""
    patterns = {**UNUSED, **UNUSED_IN.get(family, {})}
    return next((reason for pattern, reason in patterns.items() if re.search(pattern, name)), None)
