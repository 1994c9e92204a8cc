"""Encode texts into the pooled vector of every layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from retroscope.encoders.batches import batches_of, run_batches
from retroscope.encoders.checkpoints.tokenizers import check_token_ids
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.hardware import in_precision
from retroscope.encoders.pooling import pooling_of, skipped_tokens
from retroscope.encoders.precision import EXACT
from retroscope.encoders.token_budgets import DEFAULT_BUDGET
from retroscope.errors import EncoderError, excerpt
from retroscope.files.reading import foreign

TokenIds = list[int]
States = Float[Tensor, "text token dim"]
LONGEST_TOKEN = 256  # characters: a text is cut to so many for each token that is kept, before it is tokenised


@dataclass(frozen=True)
class LayerVectors:
    """Pooled vectors of texts: of every layer, and after the head.

    Attributes:
        layers: pooled vectors: layer 0 is the embedding output, layer k the output of block k. With `norm_each_layer`
            they are followed by layers 0 .. L-1 with the final norm on every token.
        final: the last layer after the head: the vectors that the retriever searches with.
    """

    layers: Float[Tensor, "text layer dim"]
    final: Float[Tensor, "text out"]


@dataclass(frozen=True)
class Batch:
    """Padded token ids of some texts.

    Attributes:
        mask: True for real tokens, the only ones that attention sees.
        pooled: True for the tokens that the pooling reads.
        padding_counts: whether positions count padding on the left, as in the published study.
    """

    ids: Int[Tensor, "text token"]
    mask: Bool[Tensor, "text token"]
    pooled: Bool[Tensor, "text token"]
    padding_counts: bool = False


def tokenise(encoder: Encoder, texts: Sequence[str]) -> list[TokenIds]:
    """Return the token ids of each text: prompt and suffix added, cut to the recipe's `max_length`, not padded.

    Raises:
        EncoderError: if a text has no token, or none that is pooled.
    """
    if not texts:
        return []
    if encoder.tokens is not None:
        rows = encoder.tokens.rows(
            encoder.reading, texts, lambda unknown: _tokenised(encoder, unknown), lasting=encoder.tokenizer.is_fast
        )
    else:
        rows = _tokenised(encoder, texts)
    skipped_tokens(encoder, rows)  # now, and not when the shortest texts are encoded, which is last
    return rows


def _tokenised(encoder: Encoder, texts: Sequence[str]) -> list[TokenIds]:
    recipe = encoder.recipe
    dressed = [f"{recipe.prompt}{text}{recipe.suffix}" for text in texts]
    room = recipe.max_length - 1 if recipe.append_eos else recipe.max_length
    parts = [_part(encoder, text, room * LONGEST_TOKEN) for text in dressed]
    rows = _token_ids(encoder, parts, room)
    for place, (part, text) in enumerate(zip(parts, dressed, strict=True)):
        if len(part) < len(text) and len(rows[place]) < room:
            rows[place] = _token_ids(encoder, [text], room)[0]
    if recipe.append_eos:
        eos = encoder.tokenizer.eos_token_id
        rows = [row if row and row[-1] == eos else [*row, eos] for row in rows]
    empty = [text for text, row in zip(texts, rows, strict=True) if not row]
    if empty:
        raise EncoderError(
            f"{len(empty)} texts have no token at all; the first of them is {excerpt(empty[0])}",
            where=encoder.name,
            fix="remove these texts, or end every text with the EOS token (--append-eos; in Python append_eos=True)",
        )
    return rows


def _part(encoder: Encoder, text: str, longest: int) -> str:
    """Cut a text between words to its first `longest` characters (its last ones, if the tokenizer cuts on the left).

    Half a word would have other tokens. The result is empty if only spaces would be left.
    """
    if len(text) <= longest:
        return text
    if encoder.tokenizer.truncation_side == "left":
        return "".join(text[-longest:].split(maxsplit=1)[-1:])
    return "".join(text[:longest].rsplit(maxsplit=1)[:1])


def _token_ids(encoder: Encoder, texts: Sequence[str], room: int) -> list[TokenIds]:
    with foreign(EncoderError, "the tokenizer fails on these texts", encoder.name, "use the weights' own tokenizer"):
        rows: list[TokenIds] = encoder.tokenizer(
            texts, truncation=True, max_length=room, padding=False, return_attention_mask=False
        )["input_ids"]
    check_token_ids(rows, encoder.tokenizer, encoder.embedding_rows, encoder.name)
    return rows


def pad(encoder: Encoder, rows: Sequence[TokenIds], *, side: str | None = None, extra: int = 0) -> Batch:
    """Pad the token ids of texts to one batch, on the side and to the length that the encoder's recipe sets.

    Self-tests choose another `side` and `extra` columns of padding.

    Raises:
        EncoderError: if a text has no token to pool besides those of its prompt.
    """
    recipe = encoder.recipe
    side = side or recipe.padding_side
    width = recipe.max_length if recipe.pad_to_max else max(map(len, rows))
    ids = torch.full((len(rows), width + extra), int(encoder.tokenizer.pad_token_id), dtype=torch.long)
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for i, row in enumerate(rows):
        span = slice(0, len(row)) if side == "right" else slice(ids.shape[1] - len(row), ids.shape[1])
        ids[i, span] = torch.tensor(row)
        mask[i, span] = True
    pooled = mask & (mask.cumsum(1) > skipped_tokens(encoder, rows))
    ids, mask, pooled = (_sent(tensor, encoder.device) for tensor in (ids, mask, pooled))
    return Batch(ids, mask, pooled)


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device, without waiting if it is a GPU."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def forward(encoder: Encoder, batch: Batch, *, norm_each_layer: bool = False) -> LayerVectors:
    """Run the backbone on one batch, and pool the states of every layer in float32.

    Args:
        norm_each_layer: append layers 0 .. L-1 with the model's final norm applied to every token. Layer L already
            includes it. Only for models with a final norm (`Anatomy.post_norm`).
    """
    return pooled(encoder, hidden_states(encoder, batch, norm_each_layer=norm_each_layer), batch)


def hidden_states(encoder: Encoder, batch: Batch, *, norm_each_layer: bool = False) -> tuple[States, ...]:
    """Run the backbone on one batch, and return the states of all tokens at every layer (options as in `forward`)."""
    output = encoder.backbone(**model_inputs(encoder, batch), output_hidden_states=True)
    states: tuple[States, ...] = output.hidden_states
    if norm_each_layer:
        states = (*states, *map(final_norm(encoder), states[:-1]))
    return states


def pooled(encoder: Encoder, states: Sequence[States], batch: Batch) -> LayerVectors:
    """Pool the states of a batch by an encoder's recipe, and apply the encoder's head to the last layer."""
    pool = pooling_of(encoder)
    layers = torch.stack([pool(h.float(), batch.pooled) for h in states], dim=1)
    final = finish(encoder, layers[:, encoder.anatomy.n_blocks])
    if encoder.recipe.normalize_layers:
        layers = torch.nn.functional.normalize(layers, dim=-1)
    return LayerVectors(layers, final)


def final_norm(encoder: Encoder) -> nn.Module:
    """Return the norm that is applied to the last layer.

    Raises:
        EncoderError: for a model without a final norm.
    """
    path = encoder.anatomy.layout.final_norm
    if path is None or not encoder.anatomy.post_norm:
        raise EncoderError("the last layer has no final norm", where=encoder.name, fix="leave out norm_each_layer")
    norm: nn.Module = encoder.backbone.get_submodule(path)
    return norm


def model_inputs(encoder: Encoder, batch: Batch) -> dict[str, Any]:
    """Return the keyword arguments of the backbone's forward pass.

    Positions are counted from the first real token, so that padding on the left changes nothing in models with absolute
    positions. In a batch with `padding_counts`, positions are counted from the first column.
    """
    inputs: dict[str, Any] = {"input_ids": batch.ids, "attention_mask": batch.mask.long()}
    padded_left = not bool(batch.mask[:, 0].all())
    if padded_left and encoder.anatomy.layout.takes_positions and not batch.padding_counts:
        inputs["position_ids"] = (batch.mask.cumsum(1) - 1).clamp(min=0)
    if encoder.anatomy.layout.causal:
        inputs["use_cache"] = False  # keys and values are for generation; here they would only fill the memory
    return inputs


def finish(encoder: Encoder, last: Float[Tensor, "text dim"]) -> Float[Tensor, "text out"]:
    """Compute the final vectors from the pooled last layer: apply pooler, head and truncation."""
    recipe = encoder.recipe
    if recipe.pooling == "pooler":
        last = encoder.backbone.pooler(last[:, None].to(encoder.backbone.dtype)).float()
    vector: Tensor = encoder.head(last)
    return vector[:, : recipe.truncate_dim]  # not of unit length any more: as sentence-transformers leaves it


def encode_rows(
    encoder: Encoder, rows: Sequence[TokenIds], tokens: int = DEFAULT_BUDGET, *, norm_each_layer: bool = False
) -> LayerVectors:
    """Return the pooled vectors of tokenised texts, in the order of `rows`, on the CPU (see `encode_rows_by`)."""
    return encode_rows_by([encoder], rows, tokens, norm_each_layer=norm_each_layer)[0]


def encode_rows_by(
    encoders: Sequence[Encoder],
    rows: Sequence[TokenIds],
    tokens: int = DEFAULT_BUDGET,
    *,
    norm_each_layer: bool = False,
) -> list[LayerVectors]:
    """Encode tokenised texts by several encoders at once, and return each encoder's pooled vectors, in the order given.

    Args:
        encoders: encoders that share a backbone and a tokenizer, and differ only in pooling and head.
        tokens: at most so many padded tokens in one forward pass. `norm_each_layer` as in `forward`.

    Raises:
        EncoderError: if there is no text.
    """
    first = encoders[0]
    vectors: list[LayerVectors] = []

    def run(indices: list[int]) -> list[LayerVectors]:
        with torch.inference_mode():
            batch = pad(first, [rows[i] for i in indices])
            states = hidden_states(first, batch, norm_each_layer=norm_each_layer)
            return [pooled(encoder, states, batch) for encoder in encoders]

    def fill(indices: list[int], parts: list[LayerVectors]) -> None:
        if not vectors:
            vectors.extend(_empty_like(part, len(rows)) for part in parts)  # filled in place: one copy is held
        for whole, part in zip(vectors, parts, strict=True):
            whole.layers[indices] = part.layers
            whole.final[indices] = part.final

    run_batches(first, batches_of(first, rows, tokens), run, fill)
    if not vectors:
        raise EncoderError("there is no text to encode", where=first.name, fix="give at least one text")
    return [LayerVectors(whole.layers.cpu(), whole.final.cpu()) for whole in vectors]  # a GPU is waited for once


def final_vectors(
    encoder: Encoder,
    rows: Sequence[TokenIds],
    tokens: int = DEFAULT_BUDGET,
    on_batch: Callable[[int], None] | None = None,
    precision: str = EXACT,
) -> Float[Tensor, "text out"]:
    """Return the final vectors (last layer after pooling and head) of tokenised texts, in the order given, on the CPU.

    Args:
        on_batch: called after each batch with the number of texts in it.
        precision: numerical precision of the forward passes, a name in `encoders.precision`.

    Raises:
        EncoderError: if there is no text.
    """
    vectors: list[Tensor] = []

    def run(indices: list[int]) -> Tensor:
        with torch.inference_mode(), in_precision(precision, encoder.device):
            return forward(encoder, pad(encoder, [rows[i] for i in indices])).final.cpu()

    def fill(indices: list[int], part: Tensor) -> None:
        if not vectors:
            vectors.append(torch.empty(len(rows), *part.shape[1:]))
        vectors[0][indices] = part
        if on_batch:
            on_batch(len(indices))

    run_batches(encoder, batches_of(encoder, rows, tokens), run, fill)
    if not vectors:
        raise EncoderError("there is no text to encode", where=encoder.name, fix="give at least one text")
    return vectors[0]


def _empty_like(part: LayerVectors, n: int) -> LayerVectors:
    """Allocate vectors for `n` texts on the device of `part`, as ordinary tensors instead of inference tensors."""
    layers, final = (torch.empty(n, *tensor.shape[1:], device=tensor.device) for tensor in (part.layers, part.final))
    return LayerVectors(layers, final)


def encode_layers(encoder: Encoder, texts: Sequence[str], tokens: int = DEFAULT_BUDGET) -> LayerVectors:
    """Return the pooled vectors of every layer, and the final vectors, of `texts` in the order given."""
    return encode_rows(encoder, tokenise(encoder, texts), tokens)
