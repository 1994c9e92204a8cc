"""Build a trainable sentence-transformers model from a loaded encoder."""

import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.router import Router
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules.pooling import Pooling
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from retroscope.encoders.checkpoints.folders import KEPT_BASE, locate, quiet
from retroscope.encoders.checkpoints.modules import OUR_POOLINGS
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.recipe import Recipe
from retroscope.errors import TrainingError, listed
from retroscope.training.folder import CHECKPOINTS
from retroscope.training.processes import is_first
from retroscope.training.settings import TrainingSettings

# Where a tokenizer has a chat template, sentence-transformers would read every text as a message of a chat.
PLAIN_TEXT: dict[str, Any] = {
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}


@dataclass(frozen=True)
class Base:
    """Folder of the backbone to train, and the name by which the saved model refers to it.

    Attributes:
        folder: a plain transformers folder.
        name: name of the backbone in the configuration of an adapter: a hub name or the path of a folder.
    """

    folder: Path
    name: str


def find_base(backbone: Retriever, source: str, folder: Path, settings: TrainingSettings, *, altered: bool) -> Base:
    """Return the folder of the backbone that the training starts from; write a copy if the source cannot be used.

    The source can be used if it is a plain transformers folder (or hub name). An adapter of a backbone with altered
    weights needs a copy, too.

    Args:
        source: folder or hub name that the backbone was loaded from.
        folder: folder of the training, to which a copy is written. An adapter always needs its base, so its copy stays.
            Other copies are removed with the checkpoints.
        altered: whether the weights of the backbone differ from those of the source.
    """
    place, adapter = locate(source), settings.strategy == "lora"
    plain = place.is_dir() and (place / "config.json").is_file() and not (place / "modules.json").is_file()
    if plain and not (altered and adapter):
        return Base(place, str(place.resolve()) if adapter and Path(source).expanduser().exists() else source)
    copy = (folder if adapter else folder / CHECKPOINTS) / KEPT_BASE
    if is_first():
        with quiet():
            backbone.passage.backbone.save_pretrained(copy)
            backbone.passage.tokenizer.save_pretrained(copy)
    return Base(copy, str(copy.resolve()) if adapter else source)


def build_model(backbone: Retriever, base: Base, settings: TrainingSettings) -> SentenceTransformer:
    """Build a sentence-transformers model from a backbone and its recipe, for training.

    Args:
        backbone: a retriever from one checkpoint. Its towers may differ only in prompt and maximum length.
        base: folder and name of the backbone.
        settings: settings of the training, which say whether there are two towers, and what is trained.

    Raises:
        TrainingError: for a recipe that a sentence-transformers model cannot represent.
    """
    query, passage = backbone.query.recipe, backbone.passage.recipe
    _check(backbone)
    towers = [_modules(backbone, base, settings) for _ in range(2 if settings.two_towers else 1)]
    modules = [Router.for_query_document(*towers)] if settings.two_towers else towers[0]
    model = SentenceTransformer(
        modules=modules,
        prompts={"query": query.prompt, "document": passage.prompt},
        similarity_fn_name=backbone.similarity,
        device=str(backbone.passage.device),
    )
    model.model_card_data.widget = [{}]  # else the trainer encodes examples for a card that we do not use
    return model


def _check(backbone: Retriever) -> None:
    """Refuse a retriever whose recipe a sentence-transformers folder cannot store.

    Raises:
        TrainingError: if there is such a recipe. The message names its fields.
    """
    query, passage = backbone.query, backbone.passage
    recipe = passage.recipe
    may_differ = {"prompt", "max_length"}
    differ = [name for name, value in recipe.identity().items() if query.recipe.identity()[name] != value]
    problems = [f"the towers differ in {name}" for name in differ if name not in may_differ]
    if query.backbone is not passage.backbone:
        problems.append("the two towers have different weights")
    if recipe.pooling not in OUR_POOLINGS.values():
        problems.append(f"pooling {recipe.pooling}")
    problems += [
        f"{name} {getattr(recipe, name)!r}"
        for name, plain in (("suffix", ""), ("pad_to_max", False), ("head", ()), ("truncate_dim", None))
        if getattr(recipe, name) != plain
    ]
    if recipe.normalize_layers or not recipe.pool_prompt or recipe.causal is False:
        problems.append("normalised layers, a prompt that is not pooled, or bidirectional attention in a causal model")
    if problems:
        raise TrainingError(
            f"a sentence-transformers folder cannot store this recipe: {'; '.join(problems)}",
            where=backbone.name,
            fix=f"start from the plain backbone, with one of the poolings {', '.join(OUR_POOLINGS.values())}",
        )


def _modules(backbone: Retriever, base: Base, settings: TrainingSettings) -> list[nn.Module]:
    encoder = backbone.passage
    with quiet():
        transformer = Transformer(str(base.folder), **_lengths(backbone.query.recipe, encoder.recipe), **PLAIN_TEXT)
    take_weights(transformer.model, encoder.backbone)
    transformer.model.name_or_path = base.name
    transformer.processor = deepcopy(encoder.tokenizer)
    transformer.max_seq_length = max(backbone.query.recipe.max_length, encoder.recipe.max_length)
    transformer.tokenizer.padding_side = encoder.recipe.padding_side
    if encoder.recipe.append_eos:
        end_with_eos(transformer.tokenizer)
    theirs = {ours: name for name, ours in OUR_POOLINGS.items()}
    pooling = Pooling(transformer.get_embedding_dimension(), theirs[encoder.recipe.pooling])
    return [transformer, pooling, *_head(transformer, settings)]


@torch.no_grad()
def take_weights(model: PreTrainedModel, proved: PreTrainedModel) -> None:
    """Copy the weights of a verified model into the model to train, in float32.

    A pooler that the checkpoint lacks keeps random weights. It is needed because sentence-transformers builds a pooler
    whenever it opens a BERT, so its checkpoints would not fit a model without one. The pooler is not trained, and
    `without_new_pooler` removes it.

    Args:
        model: the model to train.
        proved: the verified model.

    Raises:
        TrainingError: if the two models have different weights.
    """
    model.float()
    keys = model.load_state_dict(proved.state_dict(), strict=False)
    lost = [name for name in keys.missing_keys if not name.startswith("pooler.")]
    if lost or keys.unexpected_keys:
        names = listed([*lost, *keys.unexpected_keys])
        raise TrainingError(
            f"sentence-transformers and transformers build this backbone with different weights:{names}",
            where=str(proved.name_or_path),
            fix="save the backbone as a plain transformers folder",
        )
    model.eval().requires_grad_(False).to(proved.device)


def without_new_pooler(model: SentenceTransformer, backbone: Retriever) -> SentenceTransformer:
    """Remove the pooler that sentence-transformers added, if the original backbone has none, and return the model."""
    had = "pooler" in dict(backbone.passage.backbone.named_children())
    for module in model.modules():
        if isinstance(module, Transformer) and "pooler" in dict(module.model.named_children()) and not had:
            module.model.pooler = None
    return model


def _lengths(query: Recipe, passage: Recipe) -> dict[str, int]:
    if query.max_length == passage.max_length:
        return {}
    return {"query_length": query.max_length, "document_length": passage.max_length}


def _head(transformer: Transformer, settings: TrainingSettings) -> list[nn.Module]:
    """Return the modules after pooling: for the strategy "head", a linear map that starts as the identity."""
    if settings.strategy != "head":
        return []
    dim = transformer.get_embedding_dimension()
    dense = Dense(dim, dim, bias=False, activation_function=nn.Identity())
    nn.init.eye_(dense.linear.weight)
    return [dense]


def end_with_eos(tokenizer: PreTrainedTokenizerBase) -> None:
    """Change a tokenizer so that it appends EOS to every text, even to a truncated one.

    Raises:
        TrainingError: if the tokenizer cannot be changed in this way.
    """
    eos, backend = tokenizer.eos_token, tokenizer.backend_tokenizer
    state = json.loads(backend.to_str())
    state["post_processor"] = _ending(state["post_processor"], eos, tokenizer.eos_token_id)
    backend.post_processor = Tokenizer.from_str(json.dumps(state)).post_processor
    ids = tokenizer("a")["input_ids"]
    if ids[-1] != tokenizer.eos_token_id or ids[-2:-1] == ids[-1:]:
        raise TrainingError(
            "this tokenizer cannot be changed so that it appends EOS to texts",
            fix="train without append_eos (--no-append-eos)",
        )


def _ending(processor: dict[str, Any] | None, eos: str, number: int) -> dict[str, Any]:
    """Return a tokenizer's post-processor, as values of its JSON, that also appends EOS to a single text."""
    if processor is None:
        text = {name: {"Sequence": {"id": name, "type_id": 0}} for name in "AB"}
        pair = [text["A"], text["B"]]
        processor = {"type": "TemplateProcessing", "single": [text["A"]], "pair": pair, "special_tokens": {}}
    if processor["type"] == "Sequence":
        *first, last = processor["processors"]
        if last["type"] == "TemplateProcessing":
            return {**processor, "processors": [*first, _ending(last, eos, number)]}
    if processor["type"] != "TemplateProcessing":
        return {"type": "Sequence", "processors": [processor, _ending(None, eos, number)]}
    if processor["single"][-1] == {"SpecialToken": {"id": eos, "type_id": 0}}:
        return processor
    known = {**processor["special_tokens"], eos: {"id": eos, "ids": [number], "tokens": [eos]}}
    single = [*processor["single"], {"SpecialToken": {"id": eos, "type_id": 0}}]
    return {**processor, "single": single, "special_tokens": known}
