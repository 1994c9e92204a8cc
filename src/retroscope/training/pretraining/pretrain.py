"""Pre-train a backbone on text with transformers' Trainer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, Trainer, TrainingArguments

from retroscope.encoders.checkpoints.folders import quiet
from retroscope.errors import TrainingError
from retroscope.progress import Progress
from retroscope.training.folder import last_checkpoint
from retroscope.training.pretraining.collate import Collate
from retroscope.training.pretraining.settings import PretrainingSettings
from retroscope.training.watch import Watch, disk_errors, logged, rhythm, shared_arguments

TokenisedDocument = dict[str, list[int]]


@dataclass(frozen=True, eq=False)
class Documents:
    """Tokenised documents for pre-training, with counts of texts and of those that were cut.

    Attributes:
        examples: `input_ids` with special tokens; a document, or a part of a long one.
        texts: number of documents.
        cut: number of documents that were cut into parts.
    """

    examples: list[TokenisedDocument]
    texts: int
    cut: int


def tokenised_documents(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> Documents:
    """Tokenise documents into examples of at most `max_length` tokens, several for a longer document.

    Documents are not joined: their tokens would attend to one another, and the model would learn accidental neighbours.
    """
    kept = [text for text in texts if text.strip()]
    if not kept:
        raise TrainingError("there is no text to pre-train on", fix="give files with one document per line")
    encoded = tokenizer(
        kept, truncation=True, max_length=max_length, return_overflowing_tokens=True, return_attention_mask=False
    )
    parts = encoded.get("overflow_to_sample_mapping", list(range(len(kept))))
    examples = [{"input_ids": list(ids)} for ids in encoded["input_ids"]]
    return Documents(examples, len(kept), len({a for a, b in pairwise(parts) if a == b}))


@dataclass(frozen=True)
class Draws:
    """Training set as long as the training: all documents, in a new random order in each round.

    A draw depends on its number alone, so that a resumed run reads the same batches as an uninterrupted one.
    """

    examples: list[TokenisedDocument]
    n: int
    seed: int

    def __len__(self) -> int:
        """Return the number of draws."""
        return self.n

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Return the `input_ids` of a document, and the number `draw`, which seeds its masks."""
        times, at = divmod(number, len(self.examples))
        order = _order(len(self.examples), self.seed, times)
        return {**self.examples[order[at]], "draw": self.seed * 2**32 + number}


@lru_cache(maxsize=2)
def _order(n: int, seed: int, times: int) -> list[int]:
    return list(np.random.default_rng([seed, times]).permutation(n).tolist())


def pretrain(
    model: PreTrainedModel,
    documents: Documents,
    collate: Collate,
    settings: PretrainingSettings,
    folder: Path,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Pre-train `model` in place and return the training curve. A stopped run in `folder` resumes.

    Raises:
        TrainingError: for a loss that is not a number, or a full disk.
    """
    often = rhythm(settings.steps, settings.checkpoints)
    arguments = TrainingArguments(
        **shared_arguments(settings, settings.learning_rate, folder, often, device),
        max_steps=settings.steps,
        train_sampling_strategy="sequential",  # `Draws` are in random order already
        remove_unused_columns=False,
    )
    with quiet(), disk_errors(folder):
        draws = Draws(documents.examples, settings.steps * settings.batch_size * arguments.world_size, settings.seed)
        trainer = Trainer(model=model, args=arguments, train_dataset=draws, data_collator=collate)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Watch(progress, "pre-training"))
        trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    return list(logged(trainer.state.log_history))
