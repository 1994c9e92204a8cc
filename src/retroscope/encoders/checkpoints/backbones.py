"""Load a folder or GGUF file as a bare transformer of the class in which it was saved, and verify the weights."""

import copy
import inspect
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    DPRContextEncoder,
    DPRQuestionEncoder,
    MT5EncoderModel,
    PretrainedConfig,
    PreTrainedModel,
    T5EncoderModel,
    UMT5EncoderModel,
)

from retroscope.encoders.architecture.families import FAMILIES
from retroscope.encoders.checkpoints.folders import quiet, read_json
from retroscope.encoders.checkpoints.gguf_files import tensor_names
from retroscope.encoders.checkpoints.sizes import USE_CONFIG_OF_WEIGHTS, check_blocks, check_config, check_sizes
from retroscope.encoders.checks.disk import Disk, check_tensors, open_disk
from retroscope.encoders.checks.proofs import LoadingProof
from retroscope.encoders.checks.weights import prove_loaded, refuse_nan
from retroscope.errors import EncoderError, did_you_mean, excerpt, listed
from retroscope.files.reading import foreign

ENCODER_CLASSES: Mapping[str, type[PreTrainedModel]] = {
    "t5": T5EncoderModel,
    "mt5": MT5EncoderModel,
    "umt5": UMT5EncoderModel,
}
NEEDED = ("hidden_size", "num_hidden_layers", "vocab_size")  # of a configuration, to trace a family without a row
DPR_CLASSES: Mapping[str, type[PreTrainedModel]] = {
    "question_encoder": DPRQuestionEncoder,
    "ctx_encoder": DPRContextEncoder,
}


@dataclass(frozen=True)
class How:
    """Settings of loading weights: dtype, and whether code in the checkpoint may run."""

    dtype: torch.dtype = torch.float32
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Choice:
    """The value of one recipe field (e.g. the pooling), and where it comes from.

    Attributes:
        recorded: False if the value is only the default of the library that wrote the checkpoint. A preset may replace
            such a default.
    """

    value: Any
    source: str
    recorded: bool = True


@dataclass(frozen=True, eq=False)
class Backbone:
    """A loaded bare transformer with tokenizer, evidence of its weights, and recipe fields.

    Attributes:
        tokenizer: folder (or GGUF file) with its tokenizer.
        projection: module that the model itself applies to the pooled vector (DPR's `encode_proj`), or None.
        choices: recipe fields that the class of the model determines, e.g. DPR pools the first token.
    """

    model: PreTrainedModel
    tokenizer: Path
    proof: LoadingProof
    projection: nn.Linear | None = None
    choices: Mapping[str, Choice] = field(default_factory=dict)


def load_plain(folder: Path, how: How) -> Backbone:
    """Load the backbone of a transformers folder: only the encoder of T5, and a pooler only if the folder has one."""
    config = read_config(folder, how)
    cls = model_class(config)
    disk = open_disk(folder)
    check_blocks(config.num_hidden_layers, disk)
    extra = _pooler_choice(cls, pooler=has_pooler(disk))
    model, proof = _from_pretrained(cls, config, disk, how, **extra)
    if extra and not extra["add_pooling_layer"]:
        proof = replace(proof, notes=(*proof.notes, "the checkpoint has no pooler, so none was built"))
    return Backbone(model, folder, proof)


def read_config(folder: Path, how: How) -> PretrainedConfig:
    """Read the config.json of a folder.

    Raises:
        EncoderError: if the model's family is neither in `FAMILIES` nor a text encoder of transformers.
    """
    where = folder / "config.json"
    raw = read_json(folder, "config.json")
    family = raw.get("model_type")
    if not isinstance(family, str) or not (family in FAMILIES or family in CONFIG_MAPPING):
        raise EncoderError(
            f"unknown model family (model_type) {excerpt(family)}",
            where=str(where),
            fix=f"{did_you_mean(str(family), FAMILIES)}; to add a family, see docs/how-to/add-a-family.md",
        )
    check_config(raw, where)
    with foreign(EncoderError, "transformers cannot read this configuration", where, USE_CONFIG_OF_WEIGHTS), quiet():
        config = AutoConfig.from_pretrained(folder, trust_remote_code=how.trust_remote_code, local_files_only=True)
        _check_traceable(config, where)
    return config


def _check_traceable(config: PretrainedConfig, where: Path) -> None:
    """Refuse a model family outside `FAMILIES`, unless it is a text encoder whose layout a forward pass can show."""
    if config.model_type in FAMILIES:
        return
    absent = [name for name in NEEDED if not isinstance(getattr(config.get_text_config(), name, None), int)]
    reasons = {
        "transformers has no bare backbone for this family": type(config) not in MODEL_MAPPING,
        "the model is an encoder-decoder, and it is unknown which half makes the vectors": config.is_encoder_decoder,
        f"the configuration has no {', '.join(absent)}": bool(absent),
    }
    for reason, holds in reasons.items():
        if holds:
            raise EncoderError(
                f"the model family {config.model_type!r} is not in the table of families, and its layout cannot be "
                f"detected: {reason}",
                where=str(where),
                fix="add the family as described in docs/how-to/add-a-family.md",
            )


def model_class(config: PretrainedConfig) -> type[PreTrainedModel]:
    """Return the class of the bare backbone for this configuration."""
    special = ENCODER_CLASSES.get(config.model_type)
    if special is not None:
        return special
    classes = MODEL_MAPPING[type(config)]
    cls: type[PreTrainedModel] = classes[0] if isinstance(classes, tuple) else classes
    return cls


def new_backbone(config: PretrainedConfig, cls: type[PreTrainedModel], *, pooler: bool = False) -> PreTrainedModel:
    """Build a backbone of random weights by the architecture's own initialisation, in float32.

    Args:
        cls: the class, from `model_class`.
        pooler: whether to build BERT's pooler. Families without a pooler ignore this.
    """
    plain = copy.deepcopy(config)
    plain.__dict__.pop("quantization_config", None)  # it speaks of the weights of a file, and forbids saving
    return cls(plain, **_pooler_choice(cls, pooler=pooler))


def _pooler_choice(cls: type[PreTrainedModel], *, pooler: bool) -> dict[str, bool]:
    return {"add_pooling_layer": pooler} if "add_pooling_layer" in inspect.signature(cls).parameters else {}


def has_pooler(disk: Disk) -> bool:
    """Return whether a checkpoint contains BERT's pooler."""
    return any(".pooler." in f".{name}" for name in disk.files)


def _from_pretrained(
    cls: type[PreTrainedModel], config: PretrainedConfig, disk: Disk, how: How, **extra: Any
) -> tuple[PreTrainedModel, LoadingProof]:
    """Load a folder into a model of class `cls`, and verify its weights. Return the model and the evidence."""
    model, info = from_disk(cls, config, disk, how, **extra)
    return model, prove_loaded(model, info, disk, config.model_type)


def from_disk(
    cls: type[PreTrainedModel], config: PretrainedConfig, disk: Disk, how: How, **extra: Any
) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    """Load a folder into a model of class `cls`. Return the model and transformers' loading report.

    Mismatched shapes are accepted here, because `prove_loaded` reports all of them together from this report.
    """
    what = f"transformers cannot load {cls.__name__} from this checkpoint"
    with foreign(EncoderError, what, disk.folder, USE_CONFIG_OF_WEIGHTS), quiet():
        with torch.device("meta"):
            planned = cls(copy.deepcopy(config), **extra)
        check_sizes(planned, disk)
        check_tensors(planned, disk)
        model, info = cls.from_pretrained(
            disk.folder,
            config=config,
            dtype=how.dtype,
            attn_implementation="sdpa" if config.model_type == "modernbert" else None,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **extra,
        )
    return model, info


def load_dpr(folder: Path, how: How) -> Backbone:
    """Load a DPR encoder of queries or passages. Its backbone is the BERT model inside.

    `AutoModel` would load either as a question encoder, and so leave every weight of a context encoder random.
    """
    config = read_config(folder, how)
    disk = open_disk(folder)
    check_blocks(config.num_hidden_layers, disk)
    side = dpr_side(folder, config, disk)
    model, proof = _from_pretrained(DPR_CLASSES[side], config, disk, how)
    inner = model.get_submodule(side)
    source = f"checkpoint: {DPR_CLASSES[side].__name__}"
    choices = {"pooling": Choice("cls", source), "similarity": Choice("dot", source)}
    projection = inner.get_submodule("encode_proj") if config.projection_dim > 0 else None
    bert = inner.get_submodule("bert_model")
    wrapper = DPR_CLASSES[side].__name__
    proof = replace(proof, wrapper=wrapper, notes=(*proof.notes, f"loaded as {wrapper}"))
    return Backbone(bert, folder, proof, projection, choices)


def dpr_side(folder: Path, config: PretrainedConfig, disk: Disk) -> str:
    """Return which DPR encoder the tensors belong to: "question_encoder" or "ctx_encoder". The config must agree."""
    if config.projection_dim < 0:
        raise EncoderError(
            f"projection_dim is {config.projection_dim}, which is no size",
            where=str(folder / "config.json"),
            fix=USE_CONFIG_OF_WEIGHTS,
        )
    sides = sorted({name.split(".")[0] for name in disk.files} & set(DPR_CLASSES))
    if len(sides) != 1:
        first = listed(sorted(disk.files)[:3])
        raise EncoderError(
            f"this is neither a DPR question encoder nor a DPR context encoder; its first tensors:{first}",
            where=str(folder),
            fix="use a checkpoint saved from DPRQuestionEncoder or DPRContextEncoder (a DPRReader is no encoder)",
        )
    architectures = set(config.architectures or []) & {cls.__name__ for cls in DPR_CLASSES.values()}
    if architectures and DPR_CLASSES[sides[0]].__name__ not in architectures:
        raise EncoderError(
            f"config.json names {', '.join(architectures)}, but the tensors are of a {DPR_CLASSES[sides[0]].__name__}",
            where=str(folder),
            fix="correct `architectures` in config.json, or use the weights of the encoder that config.json names",
        )
    return sides[0]


def load_gguf(file: Path, how: How) -> Backbone:
    """Load a GGUF file as a dequantised model, and check that the model has as many tensors as the file."""
    names = tensor_names(file)
    what = "transformers cannot load this GGUF file"
    with foreign(EncoderError, what, file), quiet(), redirect_stderr(StringIO()):  # its bar cannot be switched off
        model, info = AutoModel.from_pretrained(
            file.parent, gguf_file=file.name, dtype=how.dtype, output_loading_info=True, local_files_only=True
        )
    refuse_nan(model, str(file))
    problems = [f"missing: {name}" for name in sorted(info["missing_keys"])]
    unused = sorted(names & {"output.weight", "output.bias", "rope_freqs.weight"})
    loaded = len(model.state_dict())
    if len(names) - len(unused) != loaded:
        problems.append(f"the file has {len(names)} tensors, {len(unused)} of them for a head; the model has {loaded}")
    if problems:
        raise EncoderError(
            f"the model that transformers loaded differs from this GGUF file:{listed(problems)}",
            where=str(file),
            fix="convert the file to safetensors with a tool that supports this architecture",
        )
    backbone = new_backbone(model.config, type(model)).to(how.dtype)
    backbone.load_state_dict(model.state_dict())
    notes = ("dequantised from GGUF: tensors counted, not compared",)
    proof = LoadingProof(str(file), loaded, unexpected=tuple(unused), counted=True, notes=notes)
    return Backbone(backbone.eval(), file, proof)


# The first that recognises a folder or file loads it; checkpoints with an adapter or modules come before these.
Loader = Callable[[Path, How], Backbone]


def loader_for(path: Path) -> Loader:
    """Return the function that loads this folder or GGUF file. Raise an EncoderError if it is not a checkpoint."""
    if path.is_file() and path.suffix == ".gguf":
        return load_gguf
    config = read_json(path, "config.json") if path.is_dir() else {}
    if config:
        return load_dpr if config.get("model_type") == "dpr" else load_plain
    names = sorted(p.name for p in path.iterdir()) if path.is_dir() else [path.name]
    raise EncoderError(
        f"this is not a checkpoint: no config.json, adapter_config.json or modules.json among the files:"
        f"{listed(names or ['(no file)'])}",
        where=str(path),
        fix="give the folder of a transformers, sentence-transformers or PEFT checkpoint, or a .gguf file",
    )
