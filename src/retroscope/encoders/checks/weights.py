"""Verify that every weight of a loaded model equals the checkpoint's, value by value."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from retroscope.encoders.checkpoints.folders import MODULES, read_json
from retroscope.encoders.checkpoints.values import group, inside, needed_text
from retroscope.encoders.checks.proofs import LoadingProof
from retroscope.errors import EncoderError, listed
from retroscope.files.git_lfs import refuse_pointer
from retroscope.files.reading import DOWNLOAD_AGAIN, foreign

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
ADAPTER = "adapter_model"  # stem of an adapter's files
COMPLEX = ("C64", "C128")
WHOLE = ("BOOL", "I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64")
PREFIXES = 4  # leading name components by which a checkpoint's names may be longer than the backbone's
LEGACY = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


@dataclass(frozen=True)
class Disk:
    """The tensors of a checkpoint on disk. `files` maps the name of each tensor to the file that contains it."""

    folder: Path
    files: Mapping[str, Path]

    def tensor(self, name: str) -> Tensor:
        """Read one tensor from disk."""
        with safe_open(self.files[name], framework="pt") as opened:
            tensor: Tensor = opened.get_tensor(name)
        return tensor

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor by its name, read from the headers of the files only."""
        shapes: dict[str, tuple[int, ...]] = {}
        for file in sorted(set(self.files.values())):
            with safe_open(file, framework="pt") as opened:
                shapes |= {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        return shapes

    def kinds(self) -> dict[str, str]:
        """Return the number format of every tensor by its name, as safetensors names it, e.g. "F32" or "I8"."""
        kinds: dict[str, str] = {}
        for file in sorted(set(self.files.values())):
            with safe_open(file, framework="pt") as opened:
                kinds |= {name: opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118
        return kinds


def check_fractions(names: Iterable[str], disk: Disk) -> None:
    """Refuse a checkpoint that stores a parameter as whole numbers or truth values: without its scale, it is wrong.

    Args:
        names: names of the model's parameters.
    """
    endings, kinds = by_ending(disk.files), disk.kinds()
    whole = [stored for name in names for stored in endings.get(name, []) if kinds[stored] in WHOLE]
    if whole:
        raise EncoderError(
            f"these weights are whole numbers or truth values, as of a quantised model:{listed(whole)}",
            where=str(disk.folder),
            fix="give the checkpoint in float32, float16 or bfloat16, or a GGUF file, which is dequantised",
        )


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


def open_disk(folder: Path, stem: str = "model") -> Disk:
    """Find the safetensors of a folder, one file or several shards. Raise an EncoderError if a file is missing."""
    single, index = folder / f"{stem}.safetensors", f"{stem}.safetensors.index.json"
    shards = group(read_json(folder, index), "weight_map", folder / index)
    named = {needed_text(shards, tensor, folder / index) for tensor in shards}
    files = sorted(inside(folder, name, folder / index) for name in named) or [single]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise EncoderError(
            f"this folder has no weights in safetensors; these files are missing:{listed(absent)}",
            where=str(folder),
            fix=_how_to_get_safetensors(folder, stem),
        )
    with foreign(EncoderError, "damaged weights", folder, "copy or download the files again"):
        return Disk(folder, {name: file for file in files for name in _names(file)})


def _names(file: Path) -> list[str]:
    """Return the names of a file's tensors. Refuse complex numbers, and a file that is only a Git LFS pointer."""
    refuse_pointer(file, EncoderError)
    with safe_open(file, framework="pt") as opened:
        names = list(opened.keys())
        twofold = [name for name in names if opened.get_slice(name).get_dtype() in COMPLEX]
    if twofold:
        raise EncoderError(
            f"these tensors have complex numbers, which no encoder uses:{listed(twofold)}",
            where=str(file),
            fix=DOWNLOAD_AGAIN,
        )
    return names


def _how_to_get_safetensors(folder: Path, stem: str) -> str:
    if not [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.ckpt")]:
        return "copy or download the checkpoint again, with its weights as *.safetensors"
    root = next((place for place in (folder, *folder.parents[:2]) if (place / MODULES).is_file()), None)
    if root is not None:
        model, note = f"SentenceTransformer({str(root)!r})", ""
    elif stem == ADAPTER:
        model, note = (
            f"PeftModel.from_pretrained(BASE_MODEL, {str(folder)!r})",
            "(BASE_MODEL: the loaded base) ",
        )
    else:
        model = f"AutoModel.from_pretrained({str(folder)!r}, use_safetensors=False)"
        note = "(the class of the checkpoint: DPRContextEncoder for DPR's passages) "
    return (
        "pickled weights (.bin, .pt) can run code and are never read; if you trust them, convert them once with "
        f"`{model}.save_pretrained(NEW_FOLDER)` {note}or give revision='refs/pr/N' if the hub has a converted copy"
    )


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


def by_ending(names: Iterable[str]) -> dict[str, list[str]]:
    """Map each ending of tensor names, e.g. "layer.0.weight", to the full names with it, the shortest first."""
    full_names: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in names:
        modern = name
        for old, new in LEGACY.items():
            modern = modern.replace(old, new)
        parts = modern.split(".")
        for cut in range(min(PREFIXES, len(parts))):
            full_names[".".join(parts[cut:])].append((cut, name))
    return {ending: [name for _, name in sorted(full)] for ending, full in full_names.items()}


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
    _refuse_nan(model, disk)
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


def _refuse_nan(model: nn.Module, disk: Disk) -> None:
    """Refuse weights with NaN, because they may affect only some vectors and stay unnoticed."""
    broken = [
        name for name, tensor in model.state_dict().items() if tensor.is_floating_point() and tensor.isnan().any()
    ]
    if broken:
        raise EncoderError(
            f"these weights contain NaN:{listed(broken)}",
            where=str(disk.folder),
            fix="use another copy of the checkpoint, or an earlier checkpoint of the same training",
        )


def unused_reason(name: str, family: str) -> str | None:
    """Return why a bare backbone of the family does not need the tensor `name`, or None if it needs it."""
    patterns = {**UNUSED, **UNUSED_IN.get(family, {})}
    return next((reason for pattern, reason in patterns.items() if re.search(pattern, name)), None)
