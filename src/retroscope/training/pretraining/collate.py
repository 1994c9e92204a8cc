"""Collators of pre-training: they make batches of texts, mask tokens, and set which tokens the model must predict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from retroscope.training.pretraining.vocabulary import SENTINELS

IGNORED = -100  # the label that torch's cross entropy ignores
SPAN = 3  # tokens of a corrupted span in the mean (Raffel et al. 2020)

TrainingBatch = dict[str, Tensor]
TokenisedText = Mapping[str, Any]  # `input_ids`, and `draw`: the seed of its masks
Collate = Callable[[Sequence[TokenisedText]], TrainingBatch]


@dataclass(frozen=True)
class Masking:
    """Collator for masked language modelling: it draws a share of the tokens at random, which the model must predict.

    Of these tokens, 80 % are replaced by the mask token, 10 % by random tokens, and 10 % stay, as for BERT (Devlin et
    al. 2019).
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
    """Collator for RetroMAE: it masks few tokens of a text for the encoder, and independently many for the decoder."""

    tokenizer: PreTrainedTokenizerBase
    share: float
    decoder_share: float

    def __call__(self, examples: Sequence[TokenisedText]) -> TrainingBatch:
        """Return a batch with the inputs and labels of the encoder and of the decoder.

        The keys are `input_ids`, `attention_mask`, `labels`, `decoder_input_ids` and `decoder_labels`.
        """
        batch, random = padded(self.tokenizer, examples), random_of(examples)
        ids, labels = masked(self.tokenizer, batch["input_ids"], self.share, random)
        hidden, wanted = masked(self.tokenizer, batch["input_ids"], self.decoder_share, random)
        return {**batch, "input_ids": ids, "labels": labels, "decoder_input_ids": hidden, "decoder_labels": wanted}


@dataclass(frozen=True)
class Spans:
    """Collator for T5's span corruption: sentinel tokens replace random spans of a text, which must be predicted."""

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
        """Return the token ids of encoder input and decoder target for one text. EOS, the last token, stays."""
        *words, eos = ids
        source: list[int] = []
        target: list[int] = []
        read = 0
        for number, (start, end) in enumerate(spans(len(words), self.share, random)):
            sentinel = self.tokenizer.convert_tokens_to_ids(f"<extra_id_{number}>")
            source += [*words[read:start], sentinel]
            target += [sentinel, *words[start:end]]
            read = end
        return [*source, *words[read:], eos], [*target, eos]


def spans(n: int, share: float, random: torch.Generator) -> list[tuple[int, int]]:
    """Draw random spans of a text of `n` tokens that together cover about the share `share` of them.

    The spans are (start, end) indices; no two spans are adjacent.
    """
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
    """Draw `parts` random whole numbers of at least 1 whose sum is `total`."""
    cuts = (torch.randperm(total - 1, generator=random)[: parts - 1] + 1).sort().values.tolist()
    return [end - start for start, end in zip([0, *cuts], [*cuts, total], strict=True)]


def random_of(examples: Sequence[TokenisedText]) -> torch.Generator:
    """Return the random generator of a batch, whose seed is the value `draw` of its first example.

    The Trainer's loader fetches one batch ahead, so masks that are drawn from torch's global generator would differ in
    a resumed run.
    """
    return torch.Generator().manual_seed(examples[0]["draw"])


def padded(tokenizer: PreTrainedTokenizerBase, examples: Sequence[TokenisedText]) -> TrainingBatch:
    """Return `input_ids` and `attention_mask` of the examples, padded on the right to the longest example."""
    rows = [torch.tensor(list(example["input_ids"])) for example in examples]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id)
    lengths = torch.tensor([len(row) for row in rows])
    return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}


def masked(
    tokenizer: PreTrainedTokenizerBase, ids: Int[Tensor, "text token"], share: float, random: torch.Generator
) -> tuple[Int[Tensor, "text token"], Int[Tensor, "text token"]]:
    """Mask a random share of the tokens, and return the new ids and the labels.

    The label of a token that is not drawn, or special, is `IGNORED`.
    """
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    is_masked: Bool[Tensor, "text token"] = (torch.rand(ids.shape, generator=random) < share) & ~special
    fate = torch.rand(ids.shape, generator=random)
    hidden = ids.clone()
    hidden[is_masked & (fate < 0.8)] = tokenizer.mask_token_id
    words = torch.randint(len(tokenizer), ids.shape, generator=random)
    hidden = torch.where(is_masked & (fate >= 0.9), words, hidden)
    return hidden, ids.masked_fill(~is_masked, IGNORED)
