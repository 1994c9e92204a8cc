"""Read the modules of a sentence-transformers folder that come after the pooling: dense layers, norms, Normalize."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from retroscope.encoders.checkpoints.folders import read_json
from retroscope.encoders.checkpoints.values import flag, required_number, text
from retroscope.encoders.checks.disk import check_values, open_disk
from retroscope.encoders.final_modules import ACTIVATIONS, Dense, Normalize
from retroscope.errors import EncoderError, did_you_mean, excerpt
from retroscope.files.reading import foreign


def _read_dense(folder: Path) -> nn.Module:
    raw = read_json(folder, "config.json")
    for key in ("module_input_name", "module_output_name"):
        if raw.get(key, "sentence_embedding") not in ("sentence_embedding", None):
            raise EncoderError(
                f"{key} of this Dense module is {excerpt(raw[key])}, but only 'sentence_embedding' is supported",
                where=str(folder / "config.json"),
                fix="give a dense retriever, with one vector per text; multi-vector models are not supported",
            )
    file = folder / "config.json"
    sizes = required_number(raw, "in_features", file), required_number(raw, "out_features", file)
    with foreign(EncoderError, "this module cannot be built", file), torch.device("meta"):  # its memory is the file's
        linear = nn.Linear(*sizes, bias=flag(raw, "bias", file, default=True))
        projected = nn.Linear(*sizes, bias=False) if sizes[0] != sizes[1] else nn.Identity()
        residual = projected if flag(raw, "use_residual", file) else None
        activation = _activation(text(raw, "activation_function", file) or "torch.nn.Tanh", folder)
        dense = Dense(linear, activation, residual)
    _fill(dense, folder)
    return dense


def _activation(name: str, folder: Path) -> nn.Module:
    package, _, last = name.rpartition(".")
    if not package.startswith("torch.nn") or last not in ACTIVATIONS:
        raise EncoderError(
            f"unknown activation function {excerpt(name)}",
            where=str(folder / "config.json"),
            fix=did_you_mean(last, ACTIVATIONS),
        )
    return ACTIVATIONS[last]()


def _read_layer_norm(folder: Path) -> nn.Module:
    holder = nn.Module()
    size = required_number(read_json(folder, "config.json"), "dimension", folder / "config.json")
    with torch.device("meta"):
        holder.norm = nn.LayerNorm(size)
    _fill(holder, folder)
    return holder.get_submodule("norm")


def _fill(module: nn.Module, folder: Path) -> None:
    """Copy the tensors of a folder into the module. Every name and every shape must match."""
    disk = open_disk(folder)
    check_values(disk.files, disk)
    tensors = {name: disk.tensor(name).to(torch.float32) for name in disk.files}
    what, fix = "the weights do not fit the module's configuration", "copy or download the folder again"
    with foreign(EncoderError, what, folder, fix):
        module.load_state_dict(tensors, strict=True, assign=True)


def _read_normalize(folder: Path) -> nn.Module:
    return Normalize()


def _read_dropout(folder: Path) -> None:
    """Ignore a dropout module, since dropout is off outside training."""


HEADS: Mapping[str, Callable[[Path], nn.Module | None]] = {
    "Dense": _read_dense,
    "LayerNorm": _read_layer_norm,
    "Normalize": _read_normalize,
    "Dropout": _read_dropout,
}


def check_fit(head: nn.Sequential, width: int, where: str) -> None:
    """Refuse modules after the pooling of which one gets vectors of another size than it takes.

    Args:
        width: size of the pooled vectors.
        where: the checkpoint, for the error.
    """
    for module in head:
        linear = module.linear if isinstance(module, Dense) else module
        takes, gives = width, width
        if isinstance(linear, nn.Linear):
            takes, gives = linear.in_features, linear.out_features
        elif isinstance(linear, nn.LayerNorm):
            takes = gives = linear.normalized_shape[0]
        if takes != width:
            raise EncoderError(
                f"a {type(module).__name__} module takes vectors of {takes} values, but gets vectors of {width}",
                where=where,
                fix="use the module folders and the transformer that were saved together, in the order of modules.json",
            )
        width = gives
