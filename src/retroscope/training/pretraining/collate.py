"""Batches of pre-training: which tokens are masked, and which the model must predict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from retroscope.training.pretraining.vocabulary import SENTINELS

IGNORED = -100  # a label that counts nowhere, as torch's cross entropy has it
SPAN = 3  # tokens of a corrupted span in the mean (Raffel et al. 2020)

TrainingBatch = dict[str, Tensor]
TokenisedText = Mapping[str, Any]  # `input_ids`, and `draw`: the number that its masks are drawn from
Collate = Callable[[Sequence[TokenisedText]], TrainingBatch]


@dataclass(frozen=True)
class Masking:
    """Collator for masked language modelling: of the chosen tokens, 80 % become masks, 10 % random tokens, 10 % stay.

    The shares of masked, random and unchanged tokens are those of BERT (Devlin et al. 2019).
    """

    tokenizer: PreTrainedTokenizerBase
    share: float

    def __call__(self, examples: Sequence[TokenisedText]) -> TrainingBatch:
        """Return `input_ids`, `attention_mask` and `labels` of a batch."""
        batch, random = padded(self.tokenizer, examples), random_of(examples)
        ids, labels = masked(self.tokenizer, batch["input_ids"], self.share, random)
        return {**batch, "input_ids": ids, "labels": labels}


@dataclass(frozen=True)
class NextWord:
    """Collator for next-token prediction by decoders. EOS is predicted, padding is not."""

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, examples: Sequence[TokenisedText]) -> TrainingBatch:
        """Return `input_ids`, `attention_mask` and `labels` of a batch; the model itself shifts the labels."""
        batch = padded(self.tokenizer, examples)
        return {**batch, "labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)}


@dataclass(frozen=True)
class TwoMasks:
    """Collator for RetroMAE: the text is masked lightly for the encoder, and separately and heavily for the decoder."""

    tokenizer: PreTrainedTokenizerBase
    share: float
    decoder_share: float

    def __call__(self, examples: Sequence[TokenisedText]) -> TrainingBatch:
        """Return the batch of `Masking` with `decoder_input_ids` and `decoder_labels` added."""
        batch, random = padded(self.tokenizer, examples), random_of(examples)
        ids, labels = masked(self.tokenizer, batch["input_ids"], self.share, random)
        hidden, wanted = masked(self.tokenizer, batch["input_ids"], self.decoder_share, random)
        return {**batch, "input_ids": ids, "labels": labels, "decoder_input_ids": hidden, "decoder_labels": wanted}


@dataclass(frozen=True)
class Spans:
    """Collator for T5's span corruption: a sentinel replaces each span, and the decoder predicts the spans."""

    tokenizer: PreTrainedTokenizerBase
    share: float

    def __call__(self, examples: Sequence[TokenisedText]) -> TrainingBatch:
        """Return `input_ids`, `attention_mask` and `labels` of a batch."""
        random = random_of(examples)
        corrupted = [self._corrupt(list(example["input_ids"]), random) for example in examples]
        batch = padded(self.tokenizer, [{"input_ids": ids} for ids, _ in corrupted])
        wanted = padded(self.tokenizer, [{"input_ids": labels} for _, labels in corrupted])
        labels = wanted["input_ids"].masked_fill(wanted["attention_mask"] == 0, IGNORED)
        return {**batch, "labels": labels}

    def _corrupt(self, ids: list[int], random: torch.Generator) -> tuple[list[int], list[int]]:
        """Return the encoder's input and the decoder's target for one text. EOS, the last token, stays."""
        *words, eos = ids
        kept: list[int] = []
        asked: list[int] = []
        done = 0
        for number, (start, end) in enumerate(spans(len(words), self.share, random)):
            sentinel = self.tokenizer.convert_tokens_to_ids(f"<extra_id_{number}>")
            kept += [*words[done:start], sentinel]
            asked += [sentinel, *words[start:end]]
            done = end
        return [*kept, *words[done:], eos], [*asked, eos]


def spans(n: int, share: float, random: torch.Generator) -> list[tuple[int, int]]:
    """Draw spans (start, end) of `n` tokens that cover about `share` of them, without adjacent spans."""
    if n < 2:
        return []
    hidden = min(max(1, round(n * share)), n - 1)
    parts = min(max(1, round(hidden / SPAN)), n - hidden, SENTINELS)
    pairs, at = [], 0
    for before, size in zip(_partition(n - hidden, parts, random), _partition(hidden, parts, random), strict=True):
        pairs.append((at + before, at + before + size))
        at += before + size
    return pairs


def _partition(total: int, parts: int, random: torch.Generator) -> list[int]:
    """Draw `parts` numbers of at least 1 whose sum is `total`."""
    cuts = (torch.randperm(total - 1, generator=random)[: parts - 1] + 1).sort().values.tolist()
    return [end - start for start, end in zip([0, *cuts], [*cuts, total], strict=True)]


def random_of(examples: Sequence[TokenisedText]) -> torch.Generator:
    """Return the random generator of the batch, seeded by the number of its first draw.

    The Trainer's loader fetches one batch ahead, so masks drawn from torch's global generator would differ in a resumed
    run.
    """
    return torch.Generator().manual_seed(examples[0]["draw"])


def padded(tokenizer: PreTrainedTokenizerBase, examples: Sequence[TokenisedText]) -> TrainingBatch:
    """Return `input_ids` and `attention_mask` of the examples, padded on the right to the longest."""
    rows = [torch.tensor(list(example["input_ids"])) for example in examples]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id)
    lengths = torch.tensor([len(row) for row in rows])
    return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}


def masked(
    tokenizer: PreTrainedTokenizerBase, ids: Int[Tensor, "text token"], share: float, random: torch.Generator
) -> tuple[Int[Tensor, "text token"], Int[Tensor, "text token"]]:
    """Mask a share of the words, and return the ids, with labels for the masked words only."""
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    is_masked: Bool[Tensor, "text token"] = (torch.rand(ids.shape, generator=random) < share) & ~special
    fate = torch.rand(ids.shape, generator=random)
    hidden = ids.clone()
    hidden[is_masked & (fate < 0.8)] = tokenizer.mask_token_id
    words = torch.randint(len(tokenizer), ids.shape, generator=random)
    hidden = torch.where(is_masked & (fate >= 0.9), words, hidden)
    return hidden, ids.masked_fill(~is_masked, IGNORED)
