"""Find the tensors of a checkpoint in its safetensors files, without reading their values."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedModel

from retroscope.encoders.checkpoints.folders import MODULES, read_json
from retroscope.encoders.checkpoints.values import group, inside, needed_text
from retroscope.errors import EncoderError, excerpt, listed
from retroscope.files.git_lfs import refuse_pointer
from retroscope.files.reading import DOWNLOAD_AGAIN, foreign

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


def check_tensors(model: PreTrainedModel, disk: Disk) -> None:
    """Refuse a checkpoint whose tensors cannot be the values of a model's parameters, or may be two values of one."""
    _refuse_rivals(model, disk)
    endings = by_ending(disk.files)
    check_fractions((stored for name, _ in model.named_parameters() for stored in endings.get(name, [])), disk)


def check_values(names: Iterable[str], disk: Disk) -> None:
    """Refuse tensors that are stored as whole numbers, or that contain NaN or infinity, of an adapter or a head."""
    wanted = sorted(names)
    check_fractions(wanted, disk)
    broken = [name for name in wanted if not bool(disk.tensor(name).isfinite().all())]
    if broken:
        raise EncoderError(
            f"these weights contain NaN or infinite values:{listed(broken)}",
            where=str(disk.folder),
            fix="use another copy of these weights, or an earlier checkpoint of the same training",
        )


def check_fractions(names: Iterable[str], disk: Disk) -> None:
    """Refuse tensors that are stored as whole numbers or truth values: without its scale, such a tensor is wrong.

    Args:
        names: names of the tensors.
    """
    kinds = disk.kinds()
    whole = [name for name in names if kinds[name] in WHOLE]
    if whole:
        raise EncoderError(
            f"these weights are whole numbers or truth values, as of a quantised model:{listed(whole)}",
            where=str(disk.folder),
            fix="give the checkpoint in float32, float16 or bfloat16, or a GGUF file, which is dequantised",
        )


def open_disk(folder: Path, stem: str = "model") -> Disk:
    """Find the safetensors of a folder: one file, or else several shards, as transformers does.

    Raises:
        EncoderError: if a file is missing, or two shards hold different values of one tensor.
    """
    single, index = folder / f"{stem}.safetensors", f"{stem}.safetensors.index.json"
    shards = {} if single.is_file() else group(read_json(folder, index), "weight_map", folder / index)
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
        names = {file: _names(file) for file in files}
        _refuse_overlap(folder, names)
        return Disk(folder, {name: file for file in files for name in names[file]})


def _refuse_overlap(folder: Path, names: Mapping[Path, list[str]]) -> None:
    """Refuse shards that hold different values of one tensor, since each library would take another."""
    where: dict[str, Path] = {}
    for file, held in names.items():
        for name in held:
            first = where.setdefault(name, file)
            one, other = Disk(folder, {name: first}), Disk(folder, {name: file})
            if first != file and not torch.equal(one.tensor(name), other.tensor(name)):
                raise EncoderError(
                    f"{first.name} and {file.name} hold different values of the tensor {excerpt(name)}",
                    where=str(folder),
                    fix=DOWNLOAD_AGAIN,
                )


def _refuse_rivals(model: PreTrainedModel, disk: Disk) -> None:
    """Refuse a checkpoint with two values of one parameter, e.g. `X.weight` and `bert.X.weight` or `X.gamma`.

    Which of the two a model gets depends on the library. Two equal values are accepted.
    """
    prefix = f"{model.base_model_prefix}."
    wanted = {name.removeprefix(prefix) for name, _ in model.named_parameters()}
    first_names: dict[str, str] = {}
    for name in sorted(disk.files):
        bare = _modern(name).removeprefix(prefix)
        first = first_names.setdefault(bare, name)
        if first != name and bare in wanted and not torch.equal(disk.tensor(first), disk.tensor(name)):
            raise EncoderError(
                f"the checkpoint has two different values of one parameter: {excerpt(first)} and {excerpt(name)}",
                where=str(disk.folder),
                fix="use the weights as they were saved, or remove the tensor that the model was not trained with",
            )


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


def by_ending(names: Iterable[str]) -> dict[str, list[str]]:
    """Map each ending of tensor names, e.g. "layer.0.weight", to the full names with it, the shortest first."""
    full_names: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in names:
        parts = _modern(name).split(".")
        for cut in range(min(PREFIXES, len(parts))):
            full_names[".".join(parts[cut:])].append((cut, name))
    return {ending: [name for _, name in sorted(full)] for ending, full in full_names.items()}


def _modern(name: str) -> str:
    """Return the name that today's models give to a tensor of an old checkpoint."""
    for old, new in LEGACY.items():
        name = name.replace(old, new)
    return name
