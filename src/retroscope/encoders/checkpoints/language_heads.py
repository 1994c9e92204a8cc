"""Load the language-model head of a checkpoint, which maps states of the last layer to logits over the vocabulary.

An encoder is loaded without this head. Here the whole model is loaded in transformers' own class and its weights are
verified. Then its backbone is replaced by a module that returns its input, so that only the head remains.
"""

from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from enum import Enum
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions as Output

from retroscope.encoders.architecture.families import FAMILIES
from retroscope.encoders.checkpoints.adapters import check_chain, endings, locate_base
from retroscope.encoders.checkpoints.backbones import ENCODER_CLASSES, How, from_disk, read_config
from retroscope.encoders.checkpoints.folders import ADAPTER_CONFIG, MODULES, locate, quiet
from retroscope.encoders.checkpoints.modules import read_modules
from retroscope.encoders.checks.disk import ADAPTER, Disk, open_disk
from retroscope.encoders.checks.weights import prove_loaded, unused_reason
from retroscope.encoders.hardware import find_device
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError
from retroscope.files.reading import foreign

Prediction = Literal["masked", "causal"]
EMBEDDING_NAMES = ("embed_tokens", "word_embeddings", "wte", "embed_in", "tok_embeddings")


class WhyNoHead(Enum):
    """Reasons why a checkpoint has no usable language-model head."""

    NOT_SAVED = "the checkpoint was saved without its language-model head"
    NOT_OF_ENCODER = "the language-model head of this family needs the states of a decoder, which an encoder lacks"
    ADAPTED = "an adapter changes the language-model head, or the embeddings whose weights the head shares"


@dataclass(frozen=True)
class NoLanguageHead:
    """The reason why a checkpoint (`source`) has no usable language-model head."""

    reason: WhyNoHead
    source: str


@dataclass(frozen=True, eq=False)
class LanguageHead:
    """The language-model head of a checkpoint, without the backbone. Make one with `load_language_head`.

    Attributes:
        kind: "masked" if the state of a token predicts that token, "causal" if it predicts the next one.
        model: model of transformers' own class, with a module that returns its input in place of the backbone.
        output: last module of `model`, a matrix with one row for each token of the vocabulary.
        tied: whether the output matrix is the matrix of the input embeddings.
        source: the folder or file from which the head was loaded.
    """

    kind: Prediction
    model: PreTrainedModel
    output: nn.Module
    tied: bool
    source: str

    @property
    def vocabulary(self) -> int:
        """Return the number of logits: the rows of the output matrix."""
        return len(self.matrix)

    @property
    def matrix(self) -> Float[Tensor, "word dim"]:
        """Return the output matrix of the head, one row for each token."""
        return self.output.get_parameter("weight")

    def logits(self, states: Float[Tensor, "*any dim"]) -> Float[Tensor, "*any word"]:
        """Return the logits of states of the last layer, in float32.

        States of a lower layer must first pass through the final norm (`retroscope.encoders.encode.final_norm`). States
        of the last layer include this norm already.
        """
        rows = states.reshape(1, -1, states.shape[-1])
        weight = self.matrix
        logits: Tensor = self.model(inputs_embeds=rows.to(weight.device, weight.dtype)).logits.float()
        return logits.reshape(*states.shape[:-1], logits.shape[-1])


class _StandIn(nn.Module):
    """A substitute for the backbone that returns its input states."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.embeddings = getattr(backbone, "embeddings", None)  # the head of DeBERTa asks its backbone for them

    @property
    def decoder(self) -> nn.Module:
        """Return the substitute itself, because OPT calls the decoder of its backbone."""
        return self

    def forward(self, *args: Any, inputs_embeds: Tensor, **rest: Any) -> Output:
        return Output(last_hidden_state=inputs_embeds)


def load_language_head(
    source: str | Path, settings: LoadSettings | None = None, *, tower: str = "passage"
) -> LanguageHead | NoLanguageHead:
    """Load the language-model head of a checkpoint (of the base, for an adapter), or return why there is none.

    Args:
        source: a transformers, sentence-transformers or PEFT folder, a GGUF file, or a hub name.
        settings: only device, dtype, base, revision and trust_remote_code are used.
        tower: "query" or "passage", if the towers are different checkpoints.

    Raises:
        EncoderError: for a checkpoint that cannot be read, or whose weights cannot be verified.
    """
    settings = settings or LoadSettings()
    loaded = load_language_model(source, settings, tower=tower)
    if isinstance(loaded, NoLanguageHead):
        return loaded
    return _detached(*loaded, find_device(settings.device))


def load_language_model(
    source: str | Path, settings: LoadSettings | None = None, *, tower: str = "passage"
) -> tuple[PreTrainedModel, Path] | NoLanguageHead:
    """Load the backbone with its language-model head on the CPU, or return why there is no such head.

    Arguments and errors are those of `load_language_head`.

    Returns:
        The model, and the folder or file with its weights; or a `NoLanguageHead`.
    """
    settings = settings or LoadSettings()
    how = How(getattr(torch, settings.dtype), settings.trust_remote_code)
    with foreign(EncoderError, "this language-model head cannot be loaded", source):
        path = _whole_model(locate(source, settings.revision), settings.base, tower)
        if isinstance(path, NoLanguageHead):
            return path
        model = _read_gguf(path, how) if path.is_file() else _read_folder(path, how)
        return model if isinstance(model, NoLanguageHead) else (model, path)


def _whole_model(path: Path, base: str | None, tower: str) -> Path | NoLanguageHead:
    """Return the folder or file with the weights of backbone and language-model head.

    For an adapter, return the folder or file of its base model; for a sentence-transformers folder, return the folder
    of its transformer. If an adapter changes the head, return a `NoLanguageHead`.
    """
    check_chain(path, base)
    while path.is_dir():
        if (path / MODULES).is_file():
            path = read_modules(path, tower).transformer
        if not (path / ADAPTER_CONFIG).is_file():
            return path
        if _changes_head(open_disk(path, stem=ADAPTER)):
            return NoLanguageHead(WhyNoHead.ADAPTED, str(path))
        path, base = locate_base(path, base), None
    return path


def _changes_head(adapter: Disk) -> bool:
    names = [ending for key in adapter.files for ending in endings(key)]
    own = any(unused_reason(name, "") for name in names)
    return own or any(part in EMBEDDING_NAMES for name in names for part in name.split("."))


def _read_folder(folder: Path, how: How) -> PreTrainedModel | NoLanguageHead:
    config = read_config(folder, how)
    if config.model_type == "dpr":
        return NoLanguageHead(WhyNoHead.NOT_SAVED, str(folder))
    cls = _class_with_head(config)
    if cls is None:
        return NoLanguageHead(WhyNoHead.NOT_OF_ENCODER, str(folder))
    disk = open_disk(folder)
    model, info = from_disk(cls, config, disk, how)
    if _lacks_head(model, info):
        return NoLanguageHead(WhyNoHead.NOT_SAVED, str(folder))
    prove_loaded(model, info, disk, config.model_type)
    return model


def _class_with_head(config: PretrainedConfig) -> type[PreTrainedModel] | None:
    if config.model_type in ENCODER_CLASSES:
        return None
    causal = FAMILIES[config.model_type][0].causal
    mapping = MODEL_FOR_CAUSAL_LM_MAPPING if causal else MODEL_FOR_MASKED_LM_MAPPING
    cls: type[PreTrainedModel] | None = mapping.get(type(config), None)
    return cls


def _lacks_head(model: PreTrainedModel, info: Mapping[str, Any]) -> bool:
    """Return whether weights are missing and all missing weights belong to the head."""
    missing = list(info["missing_keys"])
    return bool(missing) and not any(name.startswith(f"{model.base_model_prefix}.") for name in missing)


def _read_gguf(file: Path, how: How) -> PreTrainedModel | NoLanguageHead:
    what = "transformers cannot load this GGUF file with its language-model head"
    with foreign(EncoderError, what, file), quiet(), redirect_stderr(StringIO()):  # its bar cannot be switched off
        model, info = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=how.dtype, output_loading_info=True, local_files_only=True
        )
    return NoLanguageHead(WhyNoHead.NOT_SAVED, str(file)) if info["missing_keys"] else model


def _detached(model: PreTrainedModel, path: Path, device: torch.device) -> LanguageHead:
    """Return the head without its backbone, and release the backbone's memory."""
    backbone, output = getattr(model, model.base_model_prefix), model.get_output_embeddings()
    tied = output.weight is model.get_input_embeddings().weight
    kind: Prediction = "causal" if FAMILIES[model.config.model_type][0].causal else "masked"
    setattr(model, model.base_model_prefix, _StandIn(backbone))
    return LanguageHead(kind, model.eval().requires_grad_(False).to(device), output, tied, str(path))
