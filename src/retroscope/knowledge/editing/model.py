"""The model that is edited (`Editable`), and the log-probability that it gives to the objects of facts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from retroscope.encoders.batches import batches_by_length
from retroscope.encoders.capture import capture_calls
from retroscope.encoders.checkpoints.language_heads import LanguageHead
from retroscope.encoders.encode import TokenIds
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.token_budgets import encoding_budget
from retroscope.errors import SettingsError
from retroscope.knowledge.editing.prompts import Prompt
from retroscope.knowledge.editing.settings import EditSettings
from retroscope.knowledge.states import ReadInput

SITE = "ffn_out"


@dataclass(frozen=True, eq=False)
class PromptBatch:
    """A batch of prompts, padded on the right, with the predicted tokens.

    Attributes:
        ids, mask: token ids and attention mask of each prompt.
        row, at, token: index of the prompt, position in it, and token id of every predicted token.
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
        """Return the indices (prompt, position) of the last token of every prompt's subject."""
        return torch.arange(len(self.ids), device=self.ids.device), self.subject


def batch_of(encoder: Encoder, prompts: Sequence[Prompt]) -> PromptBatch:
    """Return the prompts as one batch on the encoder's device."""
    device = encoder.device
    ids, mask = right_padded([prompt.ids for prompt in prompts], int(encoder.tokenizer.pad_token_id), device)
    row = [number for number, prompt in enumerate(prompts) for _ in prompt.at]
    at = [position for prompt in prompts for position in prompt.at]
    token = [token for prompt in prompts for token in prompt.tokens]
    subject = [prompt.subject for prompt in prompts]
    return PromptBatch(ids, mask, *(torch.tensor(part, device=device) for part in (row, at, token, subject)))


def log_probabilities(encoder: Encoder, head: LanguageHead, batch: PromptBatch) -> Float[Tensor, "prompt"]:
    """Return, for every prompt, the mean log-probability of the object's tokens; gradients can be computed from it."""
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
        encoder: the model.
        head: its language-model head.
        layer: number of the block with the matrix, 1..L.
        neutral: model inputs of neutral text.
        settings: settings of the edit, e.g. how many tokens of neutral text the covariance is estimated from.
    """

    encoder: Encoder
    head: LanguageHead
    layer: int
    neutral: Sequence[ReadInput]
    settings: EditSettings

    @property
    def module(self) -> nn.Module:
        """Return the module whose weight is the edited matrix."""
        return ffn_outputs(self.encoder)[self.layer - 1]

    @cached_property
    def covariance(self) -> Float[Tensor, "input input"]:
        """Return C, the uncentred covariance of the matrix's inputs over neutral text, with shrinkage."""
        return covariance_of(self.encoder, self.module, self.neutral, self.settings)

    @property
    def matrix(self) -> Float[Tensor, "output input"]:
        """Return the edited matrix W as (output, input), as a view: writing to it changes the model."""
        return matrix_of(self.encoder, self.module)


def matrix_of(encoder: Encoder, module: nn.Module) -> Float[Tensor, "output input"]:
    """Return the matrix of a linear module as (output, input), as a view, whichever way the module stores it."""
    weight = module.get_parameter("weight").data
    return weight.T if encoder.anatomy.layout.transposed else weight


def editable(encoder: Encoder, head: LanguageHead, inputs: Sequence[ReadInput], settings: EditSettings) -> Editable:
    """Return a model that can be edited at the layer of the settings.

    Args:
        inputs: model inputs of neutral text, from which the covariance of the matrix's inputs is estimated.

    Raises:
        SettingsError: if the layer cannot be edited (see `edited_layer`).
    """
    return Editable(encoder, head, edited_layer(encoder, settings), inputs, settings)


def ffn_outputs(encoder: Encoder) -> list[nn.Module]:
    """Return the modules of the FFN output matrices, one for each block."""
    anatomy = encoder.anatomy
    return [encoder.backbone.get_submodule(anatomy.path(SITE, block)) for block in range(anatomy.n_blocks)]


def edited_layer(encoder: Encoder, settings: EditSettings) -> int:
    """Return the number of the layer whose matrix is edited: that of the settings, or else the middle layer.

    For an editor that changes all layers, it is the last one.

    Raises:
        SettingsError: for a layer that the model does not have, and for the last layer, where a change at the subject's
            last token would affect no other token.
    """
    blocks = encoder.anatomy.n_blocks
    if settings.edits_all_layers:
        return blocks
    layer = settings.layer or (blocks + 1) // 2
    if layer >= blocks:
        raise SettingsError(
            f"layer {layer} of {blocks} cannot be edited, because no block after it would pass the change on to other "
            f"tokens",
            fix=f"give a layer from 1 to {blocks - 1} (--layer)"
            if blocks > 1
            else "edit a backbone of two blocks or more",
        )
    return layer


@torch.no_grad()
def covariance_of(
    encoder: Encoder, module: nn.Module, inputs: Sequence[ReadInput], settings: EditSettings
) -> Float[Tensor, "input input"]:
    """Return the uncentred covariance, with shrinkage, of a matrix's inputs k over neutral text: the mean of k k^T.

    It is estimated from about `settings.tokens` tokens.

    Args:
        module: module of the matrix.
        inputs: model inputs of neutral text.
    """
    ends = accumulate(len(text.ids) for text in inputs)
    rows = [text.ids for text, end in zip(inputs, ends, strict=True) if end - len(text.ids) < settings.tokens]
    pad = int(encoder.tokenizer.pad_token_id)
    total = torch.zeros((), device=encoder.device)
    for batch in batches_by_length([len(row) for row in rows], encoding_budget(encoder.device)):
        ids, mask = right_padded([rows[i] for i in batch], pad, encoder.device)
        with capture_calls({SITE: module}) as calls:
            encoder.backbone(input_ids=ids, attention_mask=mask)
        keys = calls.only(SITE).input[mask.bool()]
        total = total + keys.T @ keys
    mean = total / max(1, sum(map(len, rows)))
    return mean + settings.shrinkage * mean.diagonal().mean() * torch.eye(len(mean), device=mean.device)


def right_padded(rows: Sequence[TokenIds], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return token ids, padded on the right to the longest text, and the attention mask.

    Args:
        rows: token ids of each text.
        pad: id of the padding token.
    """
    longest = max(map(len, rows))
    ids = [[*row, *[pad] * (longest - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)
