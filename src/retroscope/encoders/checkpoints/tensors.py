"""Read a checkpoint's weights one tensor at a time, named as in the bare backbone, without a model in memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from peft import get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from retroscope.encoders.architecture.anatomy import Anatomy, find_anatomy
from retroscope.encoders.checkpoints.adapter_settings import read_settings
from retroscope.encoders.checkpoints.adapters import (
    GIVE_BASE,
    base_weights,
    check_chain,
    endings,
    load_adapter,
    refuse_base,
)
from retroscope.encoders.checkpoints.backbones import (
    DPR_CLASSES,
    How,
    dpr_side,
    has_pooler,
    load_gguf,
    model_class,
    new_backbone,
    read_config,
)
from retroscope.encoders.checkpoints.folders import ADAPTER_CONFIG, MODULES, locate, quiet, read_json
from retroscope.encoders.checkpoints.modules import has_routes, read_modules
from retroscope.encoders.checkpoints.sizes import USE_CONFIG_OF_WEIGHTS, check_blocks
from retroscope.encoders.checks.disk import ADAPTER, Disk, by_ending, check_tensors, open_disk
from retroscope.errors import EncoderError, listed
from retroscope.files.reading import foreign

FACTORS = ("lora_A", "lora_B")


@dataclass(frozen=True, eq=False)
class LowRank:
    """Change that a LoRA adapter adds to a matrix: `left` @ `right`, already multiplied by the adapter's scale."""

    left: Float[Tensor, "row rank"]
    right: Float[Tensor, "rank column"]


@dataclass(frozen=True, eq=False)
class Weights:
    """A checkpoint whose tensors are read on demand.

    Attributes:
        where: the folder or file that was opened.
        anatomy: module paths of the backbone, not verified by a forward pass.
        read: name of a parameter -> function that reads it. For an adapter, the function reads the base model's value.
        places: name of a parameter -> its file, and its name in that file. Equal entries are the same tensor.
        updates: name of a parameter -> change that the adapter adds to it.
        notes: facts for the report, in words.
    """

    where: str
    anatomy: Anatomy
    read: Mapping[str, Callable[[], Tensor]]
    places: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    updates: Mapping[str, LowRank] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def open_weights(source: str | Path, base: str | None = None) -> Weights:
    """Open the weights of a checkpoint, to read its tensors on demand.

    The checkpoint is a folder (transformers, sentence-transformers, DPR, PEFT), a GGUF file or a hub name.

    Args:
        base: base model of an adapter, if not the one that its settings name.

    Raises:
        EncoderError: for tensors that the architecture needs and the checkpoint lacks.
    """
    with foreign(EncoderError, "these weights cannot be read", source):
        return _opened(locate(source), base)


def is_adapter(source: str | Path) -> bool:
    """Return whether a checkpoint, or the transformer of a sentence-transformers folder, is an adapter."""
    with foreign(EncoderError, "these weights cannot be read", source):
        path = locate(source)
        transformer = read_modules(path, "passage").transformer if (path / MODULES).is_file() else path
        return (transformer / ADAPTER_CONFIG).is_file()


def _opened(path: Path, base: str | None) -> Weights:
    check_chain(path, base)
    if path.is_file():
        refuse_base(path, base)
        return _in_memory(load_gguf(path, How()).model, str(path), "a GGUF file is dequantised in memory")
    if not (path / MODULES).is_file():
        return _open_transformer(path, base)
    weights = _open_transformer(read_modules(path, "passage").transformer, base)
    notes = (
        ("queries and passages go through different modules; the weights are those for passages",)
        if has_routes(path)
        else ()
    )
    return replace(weights, where=str(path), notes=(*weights.notes, *notes))


def _open_transformer(folder: Path, base: str | None) -> Weights:
    if (folder / ADAPTER_CONFIG).is_file():
        return _open_adapter(folder, base)
    refuse_base(folder, base)
    return _open_folder(folder)


def _open_folder(folder: Path) -> Weights:
    disk = open_disk(folder)
    model = skeleton(folder, disk)
    check_tensors(model, disk)
    endings_of, shapes = by_ending(disk.files), disk.shapes()
    names: dict[str, str] = {}
    for name, parameter in model.named_parameters():
        fitting = [n for n in endings_of.get(name, []) if shapes[n] == tuple(parameter.shape)]
        if fitting:
            names[name] = fitting[0]
    absent = [name for name, _ in model.named_parameters() if name not in names]
    if absent:
        raise EncoderError(
            f"the checkpoint lacks tensors of {type(model).__name__}, or has them in another shape:{listed(absent)}",
            where=str(folder),
            fix="check that config.json belongs to these weights; if transformers renames or splits tensors in loading "
            "(nomic_bert, gte, jina_embeddings_v3), use `retroscope compare`, which compares the loaded weights",
        )
    return Weights(
        str(folder),
        find_anatomy(model),
        {name: partial(disk.tensor, stored) for name, stored in names.items()},
        {name: (str(disk.files[stored].resolve()), stored) for name, stored in names.items()},
    )


def skeleton(folder: Path, disk: Disk) -> PreTrainedModel:
    """Build the bare backbone of a folder on the meta device, to get its parameter names and shapes."""
    config = read_config(folder, How())
    check_blocks(config.num_hidden_layers, disk)
    what = "transformers cannot build this configuration"
    with foreign(EncoderError, what, folder / "config.json", USE_CONFIG_OF_WEIGHTS), torch.device("meta"), quiet():
        if config.model_type == "dpr":
            side = dpr_side(folder, config, disk)
            return DPR_CLASSES[side](config).get_submodule(f"{side}.bert_model")
        return new_backbone(config, model_class(config), pooler=has_pooler(disk))


def _open_adapter(folder: Path, base: str | None) -> Weights:
    """Open an adapter: the low-rank factors of plain LoRA; any other adapter is merged in memory."""
    raw = read_json(folder, ADAPTER_CONFIG)
    under = base_weights(folder, base)
    untouched = raw.get("init_lora_weights", True) in (True, False, "gaussian")  # others (PiSSA ...) alter the base
    plain = raw.get("peft_type") == "LORA" and not raw.get("use_dora") and not raw.get("modules_to_save") and untouched
    disk = open_disk(folder, stem=ADAPTER)
    factors = all(any(f".{f}." in name for f in FACTORS) for name in disk.files)
    if not (plain and factors) or under.is_file() or (under / ADAPTER_CONFIG).is_file():
        how = "this adapter and its base are merged in memory"
        return _in_memory(load_adapter(folder, How(), base).model, str(folder), how)
    weights = _open_folder(under)
    updates = _factors(folder, under, disk)
    note = f"LoRA over {under}, measured from its factors: {len(updates)} of {len(weights.read)} tensors change"
    return replace(weights, where=str(folder), updates=updates, notes=(note,))


def _factors(folder: Path, under: Path, disk: Disk) -> dict[str, LowRank]:
    """Map the name of each adapted matrix to the low-rank change that a LoRA adapter adds to it.

    PEFT itself computes the scales and shapes of the changes.

    Raises:
        EncoderError: if a tensor of the adapter belongs to no matrix, or a matrix lacks a tensor.
    """
    model = skeleton(under, open_disk(under))
    settings = read_settings(folder, disk)
    with foreign(EncoderError, "PEFT cannot attach this adapter", folder), quiet():
        wrapped = get_peft_model(model, settings, low_cpu_mem_usage=True)
    layers = {name: m for name, m in wrapped.base_model.model.named_modules() if isinstance(m, LoraLayer)}
    keys = {ending: key for key in disk.files for ending in endings(key)}
    updates, used = {}, set[str]()
    for name, layer in layers.items():
        pair = [keys.get(f"{name}.{factor}.weight") for factor in FACTORS]
        if None not in pair:
            used.update(key for key in pair if key)
            into, out = (disk.tensor(key).float() for key in pair if key)
            _check_rank(layer, into, out, folder)
            updates[f"{name}.weight"] = _oriented(layer, out, into)
    lost = [name for name in layers if f"{name}.weight" not in updates] + sorted(set(disk.files) - used)
    if lost:
        raise EncoderError(
            f"the adapter's tensors do not fit its configuration and base model:{listed(lost)}",
            where=str(folder),
            fix=f"give the base model that the adapter was trained on {GIVE_BASE}",
        )
    return updates


def _check_rank(layer: LoraLayer, into: Tensor, out: Tensor, folder: Path) -> None:
    """Refuse factors whose rank is not that of the settings, because the scale of the change depends on the rank."""
    rank = layer.r["default"]
    if not into.shape[0] == out.shape[1] == rank:
        raise EncoderError(
            f"the adapter's settings give rank {rank}, but its factors have the shapes {tuple(into.shape)} and "
            f"{tuple(out.shape)}",
            where=str(folder),
            fix=f"use the {ADAPTER_CONFIG} that was saved with these factors",
        )


def _oriented(layer: LoraLayer, out: Tensor, into: Tensor) -> LowRank:
    scale = float(layer.scaling["default"])
    if getattr(layer, "fan_in_fan_out", False):  # GPT-2 keeps its matrices the other way round
        return LowRank(into.T * scale, out.T)
    return LowRank(out * scale, into)


def weights_of(model: PreTrainedModel, where: str) -> Weights:
    """Return a view of a loaded backbone's weights with the interface of a checkpoint on disk."""
    return _in_memory(model, where)


def _in_memory(model: nn.Module, where: str, *notes: str) -> Weights:
    parameters = dict(model.named_parameters())
    return Weights(
        where,
        find_anatomy(model),
        {name: partial(_detached, tensor) for name, tensor in parameters.items()},
        notes=notes,
    )


def _detached(tensor: Tensor) -> Tensor:
    return tensor.detach()
