"""The model whose matrix is edited, and the probability of the objects of facts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from retroscope.encoders.capture import capture_calls
from retroscope.encoders.checkpoints.language_heads import LanguageHead
from retroscope.encoders.encode import TokenIds, batches_by_length
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.token_budgets import encoding_budget
from retroscope.errors import SettingsError
from retroscope.knowledge.editing.prompts import Prompt
from retroscope.knowledge.editing.settings import EditSettings
from retroscope.knowledge.states import ReadInput

SITE = "ffn_out"


@dataclass(frozen=True, eq=False)
class PromptBatch:
    """A batch of prompts, padded on the right, with the predictions to be read.

    Attributes:
        row, at, token: the prompt, the position and the token of every prediction.
        subject: position of the last token of each prompt's subject.
    """

    ids: Int[Tensor, "prompt position"]
    mask: Int[Tensor, "prompt position"]
    row: Int[Tensor, "prediction"]
    at: Int[Tensor, "prediction"]
    token: Int[Tensor, "prediction"]
    subject: Int[Tensor, "prompt"]

    @property
    def own(self) -> tuple[Tensor, Tensor]:
        """Return the index of the last token of every prompt's subject."""
        return torch.arange(len(self.ids), device=self.ids.device), self.subject


def batch_of(encoder: Encoder, prompts: Sequence[Prompt]) -> PromptBatch:
    """Return the prompts as one batch on the encoder's device."""
    device = encoder.device
    ids, mask = right_padded([one.ids for one in prompts], int(encoder.tokenizer.pad_token_id), device)
    row = [number for number, one in enumerate(prompts) for _ in one.at]
    at = [position for one in prompts for position in one.at]
    token = [token for one in prompts for token in one.tokens]
    subject = [one.subject for one in prompts]
    return PromptBatch(ids, mask, *(torch.tensor(part, device=device) for part in (row, at, token, subject)))


def log_probabilities(encoder: Encoder, head: LanguageHead, batch: PromptBatch) -> Float[Tensor, "prompt"]:
    """Return the mean log-probability of the object's tokens for every prompt, with the graph for gradients."""
    states = encoder.backbone(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
    words = head.logits(states[batch.row, batch.at]).log_softmax(-1)
    each = words.gather(1, batch.token[:, None])[:, 0]
    none = torch.zeros(len(batch.ids), device=each.device)
    counts = none.index_add(0, batch.row, torch.ones_like(each))
    return none.index_add(0, batch.row, each) / counts


@dataclass(frozen=True, eq=False)
class Editable:
    """A model with the FFN output matrix that is edited in place.

    Attributes:
        layer: number of the output layer of the matrix's block, 1..L.
        neutral: neutral text.
        settings: settings of the edit, which say how much neutral text the covariance needs.
    """

    encoder: Encoder
    head: LanguageHead
    layer: int
    neutral: Sequence[ReadInput]
    settings: EditSettings

    @property
    def module(self) -> nn.Module:
        """Return the module of the matrix."""
        return ffn_outputs(self.encoder)[self.layer - 1]

    @cached_property
    def covariance(self) -> Float[Tensor, "input input"]:
        """Return C, of the matrix's inputs over neutral text, not centred."""
        return covariance_of(self.encoder, self.module, self.neutral, self.settings)

    @property
    def matrix(self) -> Float[Tensor, "output input"]:
        """Return the matrix W as a view in either storage layout. Writing to the view changes the model."""
        return matrix_of(self.encoder, self.module)


def matrix_of(encoder: Encoder, module: nn.Module) -> Float[Tensor, "output input"]:
    """Return the matrix of a linear module as a view in either storage layout."""
    weight = module.get_parameter("weight").data
    return weight.T if encoder.anatomy.layout.transposed else weight


def editable(encoder: Encoder, head: LanguageHead, inputs: Sequence[ReadInput], settings: EditSettings) -> Editable:
    """Return the model with the matrix to edit.

    Args:
        inputs: neutral text, from which the covariance of the matrix's inputs is estimated.

    Raises:
        SettingsError: see `edited_layer`.
    """
    return Editable(encoder, head, edited_layer(encoder, settings), inputs, settings)


def ffn_outputs(encoder: Encoder) -> list[nn.Module]:
    """Return the modules of the FFN output matrices, block by block."""
    anatomy = encoder.anatomy
    return [encoder.backbone.get_submodule(anatomy.path(SITE, block)) for block in range(anatomy.n_blocks)]


def edited_layer(encoder: Encoder, settings: EditSettings) -> int:
    """Return the number of the layer whose matrix is edited; the last one for an editor of all layers.

    Raises:
        SettingsError: for a layer that the model does not have, and for the last layer, because a change at the
            subject's token would reach no other token.
    """
    blocks = encoder.anatomy.n_blocks
    if settings.edits_all_layers:
        return blocks
    layer = settings.layer or (blocks + 1) // 2
    if layer >= blocks:
        raise SettingsError(
            f"layer {layer} of {blocks} cannot be edited, because no later block can read what this layer stores",
            fix=f"give a layer from 1 to {blocks - 1} (--layer)"
            if blocks > 1
            else "edit a backbone of two blocks or more",
        )
    return layer


@torch.no_grad()
def covariance_of(
    encoder: Encoder, module: nn.Module, inputs: Sequence[ReadInput], settings: EditSettings
) -> Float[Tensor, "input input"]:
    """Return the mean of k k^T over inputs k of a matrix at `settings.tokens` tokens of text, with shrinkage."""
    ends = accumulate(len(one.ids) for one in inputs)
    rows = [one.ids for one, end in zip(inputs, ends, strict=True) if end - len(one.ids) < settings.tokens]
    pad = int(encoder.tokenizer.pad_token_id)
    total = torch.zeros((), device=encoder.device)
    for chosen in batches_by_length([len(row) for row in rows], encoding_budget(encoder.device)):
        ids, mask = right_padded([rows[i] for i in chosen], pad, encoder.device)
        with capture_calls({SITE: module}) as calls:
            encoder.backbone(input_ids=ids, attention_mask=mask)
        seen = calls.only(SITE).input[mask.bool()]
        total = total + seen.T @ seen
    mean = total / max(1, sum(map(len, rows)))
    return mean + settings.shrinkage * mean.diagonal().mean() * torch.eye(len(mean), device=mean.device)


def right_padded(rows: Sequence[TokenIds], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ids and mask of rows that are padded on the right."""
    longest = max(map(len, rows))
    ids = [[*row, *[pad] * (longest - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)
