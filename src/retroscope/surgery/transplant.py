"""A model with some of another's weights: which parts of what fine-tuning changed does retrieval need?

Both models are of one architecture. Of a batch, each runs once and is recorded; a hybrid of the two begins at the
state below its first foreign block, so that only what lies above the change is run again. The upper blocks of one on
the lower states of the other are an identity stitch (Lenc and Vedaldi 2015; Bansal et al. 2021, arXiv 2106.07682).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from retroscope.encoders.anatomy import Anatomy
from retroscope.encoders.capture import Calls, Rows, call_again, capture_calls
from retroscope.encoders.encode import Batch, TokenIds, batches_by_length, finish, model_inputs, pad
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.pooling import pooling
from retroscope.errors import EncoderError, SettingsError, unknown_name

PARTS: Mapping[str, frozenset[str]] = {
    "attention": frozenset({"attention"}),
    "ffn_in": frozenset({"ffn_in", "ffn_gate"}),
    "ffn_out": frozenset({"ffn_out"}),
    "norms": frozenset({"norm", "final_norm"}),
    "embeddings": frozenset({"embedding"}),
}
COUNTED = ("block", "top", "bottom")
WORDS = ("none", "all", *(f"{word}:K" for word in COUNTED), *PARTS, "interpolate:X")
# Families whose blocks hand one another more than hidden states, made from weights: they are run whole.
ENTANGLED = frozenset({"t5", "mt5", "mpnet", "deberta-v2"})

# Of a configuration: what changes a vector without any weight.
COMPUTES = ("num_attention_heads", "num_key_value_heads", "head_dim", "n_head", "num_heads", "rope_theta",
            "rope_parameters", "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "hidden_act",
            "hidden_activation", "activation_function", "feed_forward_proj", "sliding_window",
            "layer_types")  # fmt: skip

Donates = Callable[[int, str], bool]  # (layer, part) of a parameter -> the donor's?


@dataclass(frozen=True)
class Transplant:
    """Which weights of a hybrid are the donor's.

    Attributes:
        name: "none", "all", "block:K", "top:K" (the last K blocks and the final norm), "bottom:K" (embeddings and
            the first K blocks), "attention", "ffn_in" (with the gate), "ffn_out", "norms", "embeddings" (of all
            layers), or "interpolate:X".
        donates: of layer (0 the embeddings, k block k, L also what follows it) and part.
        share: X of an interpolation, (1 - X) receiver + X donor, everywhere; else None.
    """

    name: str
    donates: Donates
    share: float | None = None


def named(name: str, n_blocks: int) -> Transplant:
    """The transplant of a name.

    Raises:
        SettingsError: for a name that is none, or more blocks than there are.
    """
    word, _, number = name.partition(":")
    if word == "interpolate":
        return Transplant(name, lambda _layer, _part: False, _share(name, number))
    if word in COUNTED:
        k = int(number) if number.isdecimal() else 0
        if not 1 <= k <= n_blocks:
            raise SettingsError(f"{name!r}: the model has {n_blocks} blocks", fix=f"give {word}:1 to {word}:{n_blocks}")
        return Transplant(name, _counted(word, k, n_blocks))
    if word in PARTS and not number:
        return Transplant(name, lambda _layer, part: part in PARTS[word])
    if name in ("none", "all"):
        return Transplant(name, lambda _layer, _part: name == "all")
    raise unknown_name("transplant", name, WORDS)


def _share(name: str, number: str) -> float:
    try:
        share = float(number)
    except ValueError:
        share = float("nan")
    if not 0 <= share <= 1:
        raise SettingsError(f"{name!r} is no interpolation", fix="give interpolate:0 to interpolate:1")
    return share


def _counted(word: str, k: int, n_blocks: int) -> Donates:
    if word == "block":
        return lambda layer, part: layer == k and part not in ("final_norm", "other", "embedding")
    if word == "bottom":
        return lambda layer, part: layer <= k and part not in ("final_norm", "other")
    return lambda layer, _part: layer > n_blocks - k


def sweep(n_blocks: int, shares: Sequence[float] = (0.25, 0.5, 0.75)) -> tuple[str, ...]:
    """Every block alone, from the top and from the bottom, every part, and interpolations."""
    counted = [f"{word}:{k}" for word in COUNTED for k in range(1, n_blocks + 1)]
    return ("none", *counted, *PARTS, *(f"interpolate:{x:g}" for x in shares), "all")


def check_pair(receiver: Encoder, donor: Encoder) -> None:
    """Refuse two models whose weights cannot stand in for one another.

    Raises:
        EncoderError: that names the first tensors that differ in shape.
    """
    mine, theirs = (dict(e.backbone.named_parameters()) for e in (receiver, donor))
    apart = [
        name
        for name in {**mine, **theirs}
        if "pooler" not in name and (name not in mine or name not in theirs or mine[name].shape != theirs[name].shape)
    ]
    if apart:
        raise EncoderError(
            f"{receiver.name} and {donor.name} differ in {len(apart)} tensors, first {apart[0]}",
            fix="transplant between a backbone and the retriever fine-tuned from it",
        )
    one, two = (_computes(encoder) for encoder in (receiver, donor))
    differ = [f"{name} ({one[name]} and {two[name]})" for name in one if one[name] != two[name]]
    if differ:
        raise EncoderError(
            f"{receiver.name} and {donor.name} compute differently: {', '.join(differ)}",
            fix="load both alike: a hybrid has one way to compute",
        )


def _computes(encoder: Encoder) -> dict[str, Any]:
    """What a model does with its weights besides them."""
    config = encoder.backbone.config.to_dict()
    measured = {"attention looks back only": encoder.anatomy.causal, "number format": str(encoder.backbone.dtype)}
    return measured | {name: config.get(name) for name in COMPUTES}


def transplanted(
    receiver: Encoder,
    donor: Encoder,
    rows: Sequence[TokenIds],
    names: Sequence[str],
    *,
    tokens: int = 1024,
    told: Callable[[int], None] | None = None,
) -> dict[str, Float[Tensor, "text out"]]:
    """The final vectors of tokenised texts under every transplant, in the order given, on the CPU.

    Recipe, pooler and head are the receiver's.

    Args:
        tokens: padded tokens of a batch.
        told: told how many texts a batch had, when it is done.
    """
    check_pair(receiver, donor)
    wanted = [named(name, receiver.anatomy.n_blocks) for name in names]
    lengths = [receiver.recipe.max_length if receiver.recipe.pad_to_max else len(row) for row in rows]
    made: dict[str, Tensor] = {}
    for chosen in batches_by_length(lengths, tokens):
        with torch.inference_mode():
            for name, part in _of_batch(receiver, donor, pad(receiver, [rows[i] for i in chosen]), wanted):
                if name not in made:
                    made[name] = torch.empty(len(rows), *part.shape[1:])
                made[name][chosen] = part.cpu()
        if told:
            told(len(chosen))
    return made


def _of_batch(
    receiver: Encoder, donor: Encoder, batch: Batch, wanted: Sequence[Transplant]
) -> Iterator[tuple[str, Tensor]]:
    pair = _Pair(receiver, donor, batch)
    for transplant in wanted:
        whole = transplant.share is not None or receiver.anatomy.family in ENTANGLED
        hidden = pair.whole(transplant) if whole else pair.above(transplant)
        pooled = pooling(receiver.recipe.pooling)(hidden.float(), batch.pooled)
        yield transplant.name, finish(receiver, pooled)


class _Pair:
    """Both models on one batch, recorded."""

    def __init__(self, receiver: Encoder, donor: Encoder, batch: Batch) -> None:
        self.encoders = (receiver, donor)
        self.anatomy: Anatomy = receiver.anatomy
        self.inputs: dict[str, Any] = model_inputs(receiver, batch)
        self.calls: tuple[Calls, Calls] = (self._record(receiver), self._record(donor))
        n, width = batch.ids.shape
        self.rows = Rows(torch.arange(n, device=batch.ids.device), n, width)

    def _record(self, encoder: Encoder) -> Calls:
        blocks = {str(k): block for k, block in enumerate(encoder.anatomy.blocks(encoder.backbone), start=1)}
        with capture_calls(blocks) as calls:
            encoder.backbone(**self.inputs)
        return calls

    def above(self, transplant: Transplant) -> Tensor:
        """The last hidden states; what lies below the first change is not run again."""
        start, side = self._prefix(transplant)
        last = self.anatomy.n_blocks
        if start > last:
            hidden = self.calls[side].only(str(last)).value
        else:
            hidden = self.calls[side].only(str(start)).input
        for layer in range(start, last + 1):
            block = self._block(transplant, layer)
            hidden = call_again(block, self.calls[0].only(str(layer)), hidden, self.rows)
        norm = self.anatomy.layout.final_norm
        if norm is None:
            return hidden
        source = self.encoders[transplant.donates(last, "final_norm")]
        found: Tensor = source.backbone.get_submodule(norm)(hidden)
        return found

    def _prefix(self, transplant: Transplant) -> tuple[int, int]:
        """The first layer that must be run, and whose states it begins with: 0 the receiver's, 1 the donor's.

        As many blocks as are one model's alone, its embeddings below them, were run already.
        """
        side = int(transplant.donates(0, "embedding"))
        layer = 1
        while layer <= self.anatomy.n_blocks and self._owners(transplant, layer) == {side}:
            layer += 1
        return layer, side

    def _owners(self, transplant: Transplant, layer: int) -> set[int]:
        parts = {name.partition(".")[0] for name in self.anatomy.layout.in_block()}
        return {int(transplant.donates(layer, part)) for part in parts}

    def _block(self, transplant: Transplant, layer: int) -> nn.Module:
        """A block of either model, or the receiver's with some of the donor's parameters."""
        mine, theirs = (self.anatomy.blocks(e.backbone)[layer - 1] for e in self.encoders)
        owners = self._owners(transplant, layer)
        if len(owners) == 1:
            return theirs if owners == {1} else mine
        prefix = f"{self.anatomy.layout.blocks}.{layer - 1}."
        foreign = {
            name: value
            for name, value in theirs.named_parameters()
            if transplant.donates(layer, self.anatomy.part_of(prefix + name)[1])
        }
        return _With(mine, foreign)

    def whole(self, transplant: Transplant) -> Tensor:
        """The last hidden states of a hybrid that is run from its embeddings."""
        mine, theirs = (dict(e.backbone.named_parameters()) for e in self.encoders)
        share = transplant.share
        if share is not None:
            mixed = {name: torch.lerp(value, theirs[name], share) for name, value in mine.items() if name in theirs}
        else:
            mixed = {name: theirs[name] for name in mine if name in theirs and self._donated(transplant, name)}
        output = functional_call(self.encoders[0].backbone, mixed, (), self.inputs)
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _donated(self, transplant: Transplant, name: str) -> bool:
        block, part = self.anatomy.part_of(name)
        outside = 0 if part == "embedding" else self.anatomy.n_blocks
        return transplant.donates(outside if block is None else block + 1, part)


class _With(nn.Module):
    """A block that is called with some parameters of another; neither is changed."""

    def __init__(self, block: nn.Module, foreign: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.call = partial(functional_call, block, dict(foreign))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the block."""
        return self.call(args, kwargs)
