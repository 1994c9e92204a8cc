"""Read a checkpoint on disk: the backbone, tokenizer, recipe fields and head of a query or passage encoder."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from retroscope.encoders.checkpoints.adapters import check_chain, load_backbone, locate_base, records_base
from retroscope.encoders.checkpoints.backbones import Backbone, Choice, How
from retroscope.encoders.checkpoints.folders import ADAPTER_CONFIG, MODULES, read_json
from retroscope.encoders.checkpoints.head_modules import check_fit
from retroscope.encoders.checkpoints.modules import Modules, read_modules
from retroscope.encoders.checkpoints.tokenizers import (
    check_rows,
    check_token_ids,
    ensure_padding,
    load_tokenizer,
    lower_case,
)
from retroscope.encoders.checkpoints.values import text
from retroscope.encoders.checks.proofs import LoadingProof


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The contents of a checkpoint: backbone, tokenizer, recipe fields, head, and evidence that weights were loaded.

    Attributes:
        head: module that is applied to the pooled vector; `nn.Identity` if there is none.
        head_names: names of the modules of the head in order, e.g. ("dense", "normalize").
        choices: recipe fields that the checkpoint records, each with its source.
        head_recorded: whether the checkpoint lists its modules (modules.json). If so, `head_names` is complete.
        pad_source: where the pad token comes from, in words.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    head: nn.Module
    head_names: tuple[str, ...]
    proof: LoadingProof
    choices: Mapping[str, Choice]
    pad_source: str
    head_recorded: bool = False


def read_checkpoint(path: Path, how: How, *, base: str | None = None, tower: str = "passage") -> Checkpoint:
    """Read the query or passage encoder (`tower`) in a checkpoint folder or GGUF file.

    The folder may be of transformers, DPR, PEFT or sentence-transformers.
    """
    check_chain(path, base)
    modules = read_modules(path, tower) if (path / MODULES).is_file() else _of_base(path, base, tower)
    if modules is None:
        backbone = load_backbone(path, how, base, tower)
        head, names = _projection(backbone)
        return _assemble(backbone, head, names, backbone.choices, how)
    if (path / MODULES).is_file():
        backbone = load_backbone(modules.transformer, how, base, tower)
        if records_base(modules.transformer, base):
            backbone = replace(backbone, proof=replace(backbone.proof, library_folder=str(path)))
    else:
        backbone = load_backbone(path, how, base, tower)
    check_fit(modules.head, backbone.model.config.get_text_config().hidden_size, str(path))
    assembled = _assemble(backbone, modules.head, modules.head_names, modules.choices, how)
    checkpoint = replace(assembled, head_recorded=True)
    if modules.lower_case:
        lower_case(checkpoint.tokenizer)
    return checkpoint


def _of_base(path: Path, base: str | None, tower: str) -> Modules | None:
    """Return the pooling, head and prompts that an adapter inherits from a sentence-transformers base model.

    If the base model is itself an adapter, its own base model is read instead. Return None if the base model is not a
    sentence-transformers folder, and for a checkpoint that is not an adapter.
    """
    if not (path.is_dir() and (path / ADAPTER_CONFIG).is_file()):
        return None
    under = locate_base(path, base)
    if not (under / MODULES).is_file():
        return _of_base(under, None, tower)
    modules = read_modules(under, tower)
    own = {
        name: replace(choice, source=f"{choice.source}, of the adapter's base")
        for name, choice in modules.choices.items()
    }
    return replace(modules, choices=own)


def _projection(backbone: Backbone) -> tuple[nn.Module, tuple[str, ...]]:
    if backbone.projection is None:
        return nn.Identity(), ()
    return nn.Sequential(backbone.projection.float()), ("dense",)


def _assemble(
    backbone: Backbone, head: nn.Module, names: tuple[str, ...], choices: Mapping[str, Choice], how: How
) -> Checkpoint:
    tokenizer = load_tokenizer(backbone.tokenizer, how.trust_remote_code)
    rows = len(backbone.model.get_input_embeddings().weight)
    check_rows(tokenizer, rows, str(backbone.tokenizer))
    check_token_ids([tokenizer("")["input_ids"]], tokenizer, rows, str(backbone.tokenizer))
    pad = ensure_padding(tokenizer, rows, str(backbone.tokenizer))
    recorded = {**_tokenizer_choices(backbone.tokenizer), **backbone.choices, **choices}
    return Checkpoint(backbone.model, tokenizer, head if names else nn.Identity(), names, backbone.proof, recorded, pad)


def _tokenizer_choices(path: Path) -> dict[str, Choice]:
    file = "tokenizer_config.json"
    side = text(read_json(path, file), "padding_side", path / file) if path.is_dir() else None
    return {} if side is None else {"padding_side": Choice(side, f"checkpoint: {file}")}
