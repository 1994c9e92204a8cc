"""Encode texts with the states of one layer edited at every token. The layers above run on the edited states."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.encoders.architecture.anatomy import Anatomy
from retroscope.encoders.batches import batches_by_length
from retroscope.encoders.capture import Calls, Rows, call_again, capture_calls
from retroscope.encoders.encode import Batch, TokenIds, finish, model_inputs, pad
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.pooling import pooling_of
from retroscope.encoders.token_budgets import DEFAULT_BUDGET
from retroscope.errors import SettingsError

Name = TypeVar("Name")


@dataclass(frozen=True, eq=False)
class LayerEdit:
    """An edit of the states of one layer at every token.

    Attributes:
        layer: layer whose states are edited: 0 is the input of the first block, k the output of block k. If the model
            has a final norm, the states of the last layer are edited after this norm.
        edit: function from the states of a batch to edited states of the same shape.
    """

    layer: int
    edit: Callable[[Tensor], Tensor]


def edited_vectors(
    encoder: Encoder,
    rows: Sequence[TokenIds],
    edits: Mapping[Name, LayerEdit],
    *,
    tokens: int = DEFAULT_BUDGET,
    on_batch: Callable[[int], None] | None = None,
) -> dict[Name, Float[Tensor, "text out"]]:
    """Return the final vectors of tokenised texts under every edit, by the edit's name, on the CPU.

    Row i of the vectors belongs to text i. Each batch runs once through the whole model. For each edit, only the blocks
    above the edited layer run again.

    Args:
        rows: token ids of each text.
        edits: edits by name. They are applied one at a time.
        tokens: largest number of padded tokens in a batch.
        on_batch: called after each batch with the number of texts in it.

    Raises:
        SettingsError: if an edit is for a layer that the model does not have.
    """
    last = encoder.anatomy.n_blocks
    for edit in edits.values():
        if not 0 <= edit.layer <= last:
            raise SettingsError(
                f"this model has no layer {edit.layer}", where=encoder.name, fix=f"give a layer from 0 to {last}"
            )
    vectors: dict[Name, Tensor] = {}
    lengths = [encoder.recipe.max_length if encoder.recipe.pad_to_max else len(row) for row in rows]
    for indices in batches_by_length(lengths, tokens):
        batch = pad(encoder, [rows[i] for i in indices])
        with torch.inference_mode():
            recorded = _Recorded(encoder, batch)
            for name, edit in edits.items():
                part = recorded.final(edit).cpu()
                vectors.setdefault(name, torch.empty(len(rows), *part.shape[1:]))[indices] = part
        if on_batch:
            on_batch(len(indices))
    return vectors


class _Recorded:
    """The recorded forward pass of one batch, from which only the layers above an edit run again."""

    def __init__(self, encoder: Encoder, batch: Batch) -> None:
        self.encoder, self.batch = encoder, batch
        self.anatomy: Anatomy = encoder.anatomy
        self.calls: Calls = self._run()
        texts, width = batch.ids.shape
        self.rows = Rows(torch.arange(texts, device=batch.ids.device), texts, width)

    def _run(self) -> Calls:
        blocks = self.anatomy.blocks(self.encoder.backbone)
        with capture_calls({str(k): block for k, block in enumerate(blocks, start=1)}) as calls:
            self.encoder.backbone(**model_inputs(self.encoder, self.batch))
        return calls

    def final(self, edit: LayerEdit) -> Float[Tensor, "text out"]:
        hidden, last = self._states(edit.layer), self.anatomy.n_blocks
        if edit.layer == last:
            hidden = edit.edit(self._normed(hidden))
        else:
            hidden = edit.edit(hidden)
            for layer in range(edit.layer + 1, last + 1):
                block = self.anatomy.blocks(self.encoder.backbone)[layer - 1]
                hidden = call_again(block, self.calls.only(str(layer)), hidden, self.rows)
            hidden = self._normed(hidden)
        pooled = pooling_of(self.encoder)(hidden.float(), self.batch.pooled)
        return finish(self.encoder, pooled)

    def _states(self, layer: int) -> Tensor:
        """Return the states of a layer (0: input of the first block) in the intact model, before the final norm."""
        return self.calls.only(str(layer)).value if layer else self.calls.only("1").input

    def _normed(self, hidden: Tensor) -> Tensor:
        norm = self.anatomy.layout.final_norm
        if norm is None:
            return hidden
        normed: Tensor = self.encoder.backbone.get_submodule(norm)(hidden)
        return normed
