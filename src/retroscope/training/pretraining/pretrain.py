"""Pre-train a backbone on text with the Trainer of transformers."""

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
    """Tokenised documents for pre-training, and how many documents they come from.

    Attributes:
        examples: `input_ids` with special tokens, of a document or of a part of a long document.
        texts: number of documents that are not empty.
        cut: number of documents that were cut into several examples.
    """

    examples: list[TokenisedDocument]
    texts: int
    cut: int


def tokenised_documents(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> Documents:
    """Tokenise documents into examples of at most `max_length` tokens; a longer document is cut into several examples.

    Short documents are not joined: their tokens would attend to one another, and the model would learn from accidental
    neighbours.
    """
    documents = [text for text in texts if text.strip()]
    if not documents:
        raise TrainingError("the files have no text to pre-train on", fix="give files with one document per line")
    encoded = tokenizer(
        documents, truncation=True, max_length=max_length, return_overflowing_tokens=True, return_attention_mask=False
    )
    parts = encoded.get("overflow_to_sample_mapping", list(range(len(documents))))
    examples = [{"input_ids": list(ids)} for ids in encoded["input_ids"]]
    return Documents(examples, len(documents), len({a for a, b in pairwise(parts) if a == b}))


@dataclass(frozen=True)
class Draws:
    """Training set in the order of the batches: the examples, in a new random order in every epoch.

    An item depends only on its index and the seed, so a resumed training has the same batches as an uninterrupted one.

    Attributes:
        examples: the tokenised examples.
        n: number of items, i.e. steps times texts in a batch.
        seed: seed of the orders and of the masks.
    """

    examples: list[TokenisedDocument]
    n: int
    seed: int

    def __len__(self) -> int:
        """Return the number of items."""
        return self.n

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Return the `input_ids` of one example, and the number `draw`, which is the seed of its masks."""
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
    """Pre-train `model` in place and return the training curve.

    A stopped training resumes from the checkpoints in `folder`.

    Raises:
        TrainingError: for a loss that is not finite.
        SettingsError: for a full disk.
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
