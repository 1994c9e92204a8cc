"""Resolve each recipe field (pooling, prompt ...) from user, protocol, checkpoint or default, in this order.

Each value is recorded with its source.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from retroscope.encoders.architecture.anatomy import Anatomy
from retroscope.encoders.architecture.families import FAMILIES
from retroscope.encoders.checkpoints.backbones import Choice
from retroscope.encoders.checkpoints.checkpoint import Checkpoint
from retroscope.encoders.checkpoints.recorded import unknown_pooling
from retroscope.encoders.checkpoints.tokenizers import check_room
from retroscope.encoders.checkpoints.values import AT_LEAST_1
from retroscope.encoders.recipe import Recipe
from retroscope.encoders.settings import PUBLISHED_PROTOCOL, LoadSettings
from retroscope.encoders.similarity import SIMILARITIES
from retroscope.errors import EncoderError, excerpt

DEFAULTS: Mapping[str, Any] = {
    "prompt": "",
    "suffix": "",
    "append_eos": False,
    "padding_side": "right",
    "pad_to_max": False,
    "pool_prompt": True,
    "causal": None,
    "normalize_layers": False,
    "truncate_dim": None,
}
LONGEST_PROMPT = 10_000  # characters
UNBOUNDED = 10**9  # tokenizers that know no limit say 10^30
POSITIONS_AFTER_PADDING = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet"})
RELATIVE = frozenset({"t5", "mt5", "umt5"})  # relative positions: the configuration sets no limit

# arXiv 2505.07166: a fixed width for each tower; prompts, suffix and unit length for EOS pooling only.
PUBLISHED = f"protocol {PUBLISHED_PROTOCOL}"
PUBLISHED_LENGTHS: Mapping[str, int] = {"query": 128, "passage": 512}


def resolve_recipe(checkpoint: Checkpoint, settings: LoadSettings, anatomy: Anatomy, tower: str) -> Recipe:
    """Return the recipe (pooling, prompt, maximum length ...) of an encoder, each field with its source."""
    pooling = _pooling(checkpoint, settings, anatomy)
    fields = _by_user(settings, tower)
    if settings.protocol == PUBLISHED_PROTOCOL:
        fields = {**_published(pooling.value, checkpoint.tokenizer, tower), **fields}
        pooling = Choice("last_column", PUBLISHED) if pooling.value == "last_token" else pooling
    else:
        own = _by_checkpoint(checkpoint, tower)
        fields = {**own, **_as_the_checkpoint(fields, own, checkpoint, anatomy)}
    choices = {**{name: Choice(value, "default") for name, value in DEFAULTS.items()}, **fields, "pooling": pooling}
    if "max_length" not in choices:
        choices["max_length"] = _max_length(checkpoint)
    choices["head"] = Choice(checkpoint.head_names, "checkpoint" if checkpoint.head_names else "default")
    _check(choices, checkpoint, anatomy)
    sources = {name: choice.source for name, choice in choices.items()}
    values = {name: choice.value for name, choice in choices.items()}
    return Recipe(**values, sources={**sources, "pad_token": checkpoint.pad_source})


def _by_user(settings: LoadSettings, tower: str) -> dict[str, Choice]:
    values = {
        "max_length": settings.max_length,
        "prompt": settings.prompt(tower),
        "append_eos": settings.append_eos,
        "padding_side": settings.padding_side,
        "causal": settings.causal,
        "truncate_dim": settings.truncate_dim,
    }
    return {name: Choice(value, "user") for name, value in values.items() if value is not None}


def _as_the_checkpoint(
    by_user: Mapping[str, Choice], by_checkpoint: Mapping[str, Choice], checkpoint: Checkpoint, anatomy: Anatomy
) -> dict[str, Choice]:
    """Return the recipe fields that the user set.

    If such a value equals the checkpoint's value or the default, its source is the checkpoint or the default, not
    "user".
    """
    usual = {**{name: Choice(value, "default") for name, value in DEFAULTS.items()}, **by_checkpoint}
    for name, value in _where_unset(checkpoint, anatomy).items():
        if name in by_user and usual[name].value is None and by_user[name].value == value:
            by_user = {**by_user, name: usual[name]}
    if "max_length" in by_user and "max_length" not in usual:
        limit = _limit(checkpoint)
        usual |= {} if limit is None else {"max_length": limit}
    return {
        name: usual[name] if name in usual and usual[name].value == choice.value else choice
        for name, choice in by_user.items()
    }


def _where_unset(checkpoint: Checkpoint, anatomy: Anatomy) -> dict[str, Any]:
    """Return the values that `truncate_dim` and `causal` have if nobody sets them.

    `causal` is left out if the causal mask of a decoder was removed.
    """
    family = checkpoint.model.config.model_type
    own = anatomy.causal or (family in FAMILIES and not FAMILIES[family][0].causal)
    return {"truncate_dim": _size(checkpoint), **({"causal": anatomy.causal} if own else {})}


def _by_checkpoint(checkpoint: Checkpoint, tower: str) -> dict[str, Choice]:
    names = {
        "max_length": ("max_length", f"{tower}_max_length"),
        "prompt": (f"{tower}_prompt",),
        "padding_side": ("padding_side",),
        "pool_prompt": ("pool_prompt",),
        "truncate_dim": ("truncate_dim",),
        "append_eos": ("append_eos",),
        "causal": ("causal",),
    }
    recorded = checkpoint.choices
    return {field: recorded[name] for field, keys in names.items() for name in keys if name in recorded}


def _published(pooling: str, tokenizer: PreTrainedTokenizerBase, tower: str) -> dict[str, Choice]:
    fields: dict[str, Any] = {
        "max_length": PUBLISHED_LENGTHS[tower],
        "pad_to_max": True,
        "padding_side": tokenizer.padding_side,
    }
    if pooling in ("last_token", "last_column"):
        fields |= {"prompt": f"{tower}: ", "suffix": " </s>", "normalize_layers": True}
    return {name: Choice(value, PUBLISHED) for name, value in fields.items()}


def _pooling(checkpoint: Checkpoint, settings: LoadSettings, anatomy: Anatomy) -> Choice:
    own = checkpoint.choices.get("pooling")
    if settings.pooling is not None and (own is None or own.value != settings.pooling):
        return Choice(settings.pooling, "user")
    if own is not None:
        return own
    raise unknown_pooling(checkpoint.proof.source, causal=anatomy.causal)


def _max_length(checkpoint: Checkpoint) -> Choice:
    """Return the maximum length of a text: the tokenizer's limit or the model's, whichever is smaller.

    Raises:
        EncoderError: if neither is recorded.
    """
    limit = _limit(checkpoint)
    if limit is None:
        raise EncoderError(
            "neither the tokenizer nor the configuration records the maximum length of a text",
            where=checkpoint.proof.source,
            fix="give the maximum number of tokens, e.g. --max-length 512 (in Python max_length=512)",
        )
    return limit


def _limit(checkpoint: Checkpoint) -> Choice | None:
    limits = {}
    longest = checkpoint.tokenizer.model_max_length
    if isinstance(longest, bool) or (isinstance(longest, float) and not longest.is_integer()):  # int() takes either
        raise EncoderError(
            f"model_max_length of the tokenizer must be {AT_LEAST_1}, found {excerpt(longest)}",
            where=checkpoint.proof.source,
            fix="correct tokenizer_config.json, or download it again",
        )
    if longest < UNBOUNDED:
        limits["checkpoint: tokenizer (model_max_length)"] = int(longest)
    positions = positions_of(checkpoint.model)
    if positions is not None:
        limits["checkpoint: config.json (positions)"] = positions
    if not limits:
        return None
    source = min(limits, key=lambda name: limits[name])
    return Choice(limits[source], source)


def positions_of(model: PreTrainedModel) -> int | None:
    """Return the maximum number of tokens that a model can read at once, or None if its configuration sets no limit."""
    config = model.config
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    if positions is None or config.model_type in RELATIVE:
        return None
    after_padding = config.model_type in POSITIONS_AFTER_PADDING
    if config.model_type not in FAMILIES:
        after_padding = _counts_after_padding(model, positions)
    return int(positions) - (int(config.pad_token_id) + 1 if after_padding else 0)


def _counts_after_padding(model: PreTrainedModel, positions: int) -> bool:
    """Return whether the position embedding of a model outside `FAMILIES` has a row for padding, as in RoBERTa."""
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    return any(table.num_embeddings == positions and table.padding_idx is not None for table in tables)


def _check(choices: Mapping[str, Choice], checkpoint: Checkpoint, anatomy: Anatomy) -> None:
    where = checkpoint.proof.source
    _check_prompt(choices["prompt"], where)
    _check_size(choices["truncate_dim"], checkpoint)
    _check_padding(choices["padding_side"], where)
    eos = choices["append_eos"]
    if eos.value and checkpoint.tokenizer.eos_token_id is None:
        raise EncoderError(
            f"append_eos is on (source: {eos.source}), but the tokenizer has no EOS token",
            where=where,
            fix="switch append_eos off: --no-append-eos (in Python append_eos=False)",
        )
    pooling = choices["pooling"]
    if pooling.value == "pooler" and "pooler" not in dict(checkpoint.model.named_children()):
        raise EncoderError(
            f"pooling is 'pooler' (source: {pooling.source}), but the checkpoint has no pooler",
            where=where,
            fix="give another pooling, e.g. --pooling cls (in Python pooling='cls')",
        )
    _check_length(choices["max_length"], checkpoint)
    around, length = f"{choices['prompt'].value}{choices['suffix'].value}", choices["max_length"].value
    check_room(checkpoint.tokenizer, around, append_eos=eos.value, max_length=length, where=where)
    if choices["causal"].value is not None and choices["causal"].value != anatomy.causal:
        measured = "causal" if anatomy.causal else "bidirectional"
        raise EncoderError(
            f"causal={choices['causal'].value} (source: {choices['causal'].source}), but a forward pass shows that the "
            f"attention of this model is {measured}",
            where=where,
            fix="leave out causal, or set causal=False for a decoder (e.g. --set after.load.causal=false)",
        )


def _check_length(length: Choice, checkpoint: Checkpoint) -> None:
    """Refuse a maximum length that is below 1, or above the number of positions of the model."""
    limit, where = positions_of(checkpoint.model), checkpoint.proof.source
    if length.value < 1:
        raise EncoderError(
            f"max_length must be at least 1, found {length.value} (source: {length.source})",
            where=where,
            fix="give the maximum number of tokens, e.g. --max-length 512 (in Python max_length=512)",
        )
    if limit is not None and length.value > limit:
        raise EncoderError(
            f"max_length {length.value} (source: {length.source}) is more than the {limit} positions of the model",
            where=where,
            fix=f"give --max-length {limit} or less (in Python max_length={limit})",
        )


def _check_size(dim: Choice, checkpoint: Checkpoint) -> None:
    """Refuse to keep more dimensions of the final vector than exist."""
    size = _size(checkpoint)
    if dim.value is not None and dim.value > size:
        raise EncoderError(
            f"truncate_dim {dim.value} (source: {dim.source}) is more than the {size} dimensions of a vector",
            where=checkpoint.proof.source,
            fix=f"give {size} or less, e.g. --set after.load.truncate_dim={size}, or leave out truncate_dim",
        )


def _size(checkpoint: Checkpoint) -> int:
    """Return the number of dimensions of a vector before it is truncated."""
    maps = [module for module in checkpoint.head.modules() if isinstance(module, nn.Linear)]
    return int(maps[-1].out_features if maps else checkpoint.model.config.hidden_size)


def _check_prompt(prompt: Choice, where: str) -> None:
    if len(prompt.value) > LONGEST_PROMPT:
        raise EncoderError(
            f"the prompt has {len(prompt.value):,} characters (source: {prompt.source}), more than {LONGEST_PROMPT:,}",
            where=where,
            fix=f"shorten the prompt to at most {LONGEST_PROMPT:,} characters (--query-prompt, --passage-prompt)",
        )


def _check_padding(side: Choice, where: str) -> None:
    if side.value not in ("left", "right"):
        raise EncoderError(
            f"padding_side must be 'left' or 'right', found {excerpt(side.value)} (source: {side.source})",
            where=where,
            fix="give padding_side='left' or 'right' (e.g. --set after.load.padding_side=right)",
        )


def resolve_similarity(checkpoint: Checkpoint, settings: LoadSettings) -> Choice:
    """Return how vectors are compared ("cosine" or "dot"): the user's choice, else the checkpoint's, else cosine."""
    if settings.similarity is not None:
        return Choice(settings.similarity, "user")
    choice = checkpoint.choices.get("similarity", Choice("cosine", "default"))
    if choice.value not in SIMILARITIES:
        raise EncoderError(
            f"unknown similarity {excerpt(choice.value)} (source: {choice.source})",
            where=checkpoint.proof.source,
            fix=f"give the similarity of the retriever: {' or '.join(SIMILARITIES)}",
        )
    return choice
