"""Load an Encoder or a Retriever by name or folder, with verified weights and the source of every recipe field."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Unpack

import torch
from torch import nn
from transformers import PreTrainedModel

from retroscope.encoders.architecture.anatomy import Anatomy, prove_anatomy
from retroscope.encoders.checkpoints.backbones import Choice, How
from retroscope.encoders.checkpoints.checkpoint import Checkpoint, read_checkpoint
from retroscope.encoders.checkpoints.folders import locate
from retroscope.encoders.checkpoints.modules import has_routes
from retroscope.encoders.checkpoints.recorded import refuse_without_pooling
from retroscope.encoders.checkpoints.resolve import resolve_recipe, resolve_similarity
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.hardware import find_device
from retroscope.encoders.presets.applying import preset_name, with_preset
from retroscope.encoders.settings import LoadOptions, LoadSettings, short_name, source_of
from retroscope.errors import EncoderError, SettingsError, excerpt, unknown_name
from retroscope.files.reading import PathLike, foreign, path_or_name

Source = str | Path


@dataclass(frozen=True, eq=False)
class Loaded:
    """A checkpoint loaded on its device, with its verified module paths. Encoders are made from it."""

    checkpoint: Checkpoint
    anatomy: Anatomy
    name: str
    source: Source


def load_encoder(source: PathLike, settings: LoadSettings | None = None, *, tower: str = "passage") -> Encoder:
    """Load the query encoder or the passage encoder (`tower`) of a checkpoint."""
    settings, place = settings or LoadSettings(), path_or_name(source)
    refuse_without_pooling(place, settings)
    return _tower(_load(place, settings, tower), settings, tower)


def load_retriever(
    source: PathLike | None = None,
    *,
    query: PathLike | None = None,
    passage: PathLike | None = None,
    **options: Unpack[LoadOptions],
) -> Retriever:
    """Load a retriever from one checkpoint, or from one checkpoint for queries and one for passages.

    Options are the fields of `LoadSettings`. Towers of one checkpoint share its weights; if their recipes are also
    equal, they are the same `Encoder`.

    Raises:
        EncoderError: for a checkpoint whose weights cannot be verified, or that does not record its pooling.
        SettingsError: for an unknown option or value.
    """
    settings = _settings(options)
    sources = _sources(source, query, passage)
    for place in sources.values():
        refuse_without_pooling(place, settings)
    loaded = {"query": _load(sources["query"], settings, "query")}
    shared = sources["query"] == sources["passage"] and not has_routes(locate(sources["query"], settings.revision))
    loaded["passage"] = loaded["query"] if shared else _load(sources["passage"], settings, "passage")
    towers = {tower: _tower(part, settings, tower) for tower, part in loaded.items()}
    if shared and towers["query"].recipe.identity() == towers["passage"].recipe.identity():
        towers["passage"] = towers["query"]
    how = _similarity(loaded, settings)
    if how.value == "cosine" and towers["query"].recipe.truncate_dim == 1:
        raise EncoderError(
            "truncate_dim=1 leaves vectors of one dimension, whose cosine is only 1 or -1 and cannot rank passages",
            where=_name(settings, sources),
            fix="give truncate_dim=2 or more, e.g. --set after.load.truncate_dim=2, or use --similarity dot",
        )
    return Retriever(_name(settings, sources), towers["query"], towers["passage"], str(how.value), how.source)


def _settings(options: LoadOptions) -> LoadSettings:
    known = [field.name for field in fields(LoadSettings)]
    for name in options:
        if name not in known:
            raise unknown_name("loading option", name, known)
    return LoadSettings(**options)


def _sources(source: PathLike | None, query: PathLike | None, passage: PathLike | None) -> dict[str, Source]:
    if source is not None and query is None and passage is None:
        return {"query": path_or_name(source), "passage": path_or_name(source)}
    if source is None and query is not None and passage is not None:
        return {"query": path_or_name(query), "passage": path_or_name(passage)}
    raise SettingsError(
        "a retriever is loaded from one source, or from a query source and a passage source; given: "
        f"source={excerpt(source)}, query={excerpt(query)}, passage={excerpt(passage)}",
        fix="call load_retriever('NAME'), or load_retriever(query='NAME', passage='NAME')",
    )


def _load(source: Source, settings: LoadSettings, tower: str) -> Loaded:
    device = find_device(settings.device)
    how = How(getattr(torch, settings.dtype), settings.trust_remote_code)
    with foreign(EncoderError, "this checkpoint cannot be loaded", source):
        checkpoint = read_checkpoint(locate(source, settings.revision), how, base=settings.base, tower=tower)
        preset = preset_name(source, settings)
        checkpoint = checkpoint if preset is None else with_preset(checkpoint, preset)
        if _causal(checkpoint, settings) is False:
            look_both_ways(checkpoint.model)
        for module in (checkpoint.model, checkpoint.head):
            freeze(module).to(device)
        return Loaded(checkpoint, prove_anatomy(checkpoint.model), settings.name or short_name(source), source)


def _causal(checkpoint: Checkpoint, settings: LoadSettings) -> bool | None:
    stated = checkpoint.choices.get("causal")
    return settings.causal if settings.causal is not None or stated is None else bool(stated.value)


def _tower(loaded: Loaded, settings: LoadSettings, tower: str) -> Encoder:
    checkpoint = loaded.checkpoint
    with foreign(EncoderError, "the recipe of this checkpoint cannot be read", checkpoint.proof.source):
        recipe = resolve_recipe(checkpoint, settings, loaded.anatomy, tower)
    return Encoder(
        name=loaded.name,
        backbone=checkpoint.model,
        tokenizer=checkpoint.tokenizer,
        recipe=recipe,
        anatomy=loaded.anatomy,
        head=checkpoint.head,
        proof=checkpoint.proof,
        source=source_of(loaded.source, settings, tower),
    )


def freeze(module: nn.Module) -> nn.Module:
    """Set a module to evaluation mode (no dropout), without gradients for its parameters."""
    return module.eval().requires_grad_(False)


def look_both_ways(model: PreTrainedModel) -> None:
    """Remove the causal mask of a decoder; `prove_anatomy` then tests whether this had an effect.

    A model that is bidirectional by its configuration (EmbeddingGemma) is not changed, because its sliding windows
    already attend to both sides.
    """
    if getattr(model.config, "use_bidirectional_attention", False):
        return
    model.config.is_causal = False
    for module in model.modules():
        if "is_causal" in vars(module):
            module.is_causal = False


def _similarity(loaded: dict[str, Loaded], settings: LoadSettings) -> Choice:
    query, passage = (resolve_similarity(loaded[tower].checkpoint, settings) for tower in ("query", "passage"))
    if query.value != passage.value:
        raise EncoderError(
            f"the query tower records the similarity {query.value}, the passage tower {passage.value}",
            where=" + ".join(dict.fromkeys(str(part.source) for part in loaded.values())),
            fix="choose one similarity for both towers: --similarity cosine (in Python similarity='cosine'), or dot",
        )
    return query


def _name(settings: LoadSettings, sources: dict[str, Source]) -> str:
    names = dict.fromkeys(short_name(source) for source in sources.values())
    return settings.name or " + ".join(names)
