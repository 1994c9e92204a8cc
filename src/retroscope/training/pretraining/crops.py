"""Pre-train on crops: two random pieces of a text form a positive pair, as in Contriever (Izacard et al., 2022).

Source: arXiv 2112.09118.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.loading import load_retriever
from retroscope.errors import TrainingError
from retroscope.files.whole import new_folder
from retroscope.progress import Progress
from retroscope.training.contrastive import train
from retroscope.training.model import Base, build_model, without_new_pooler
from retroscope.training.pairs import Pairs
from retroscope.training.pretraining.settings import PretrainingSettings
from retroscope.training.processes import first_alone, is_first, n_processes
from retroscope.training.settings import TrainingSettings
from retroscope.training.strategies import transformers_of

SHORTEST, LONGEST = 0.05, 0.5  # of the text's words, as Contriever crops


def pretrain_on_crops(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    settings: PretrainingSettings,
    folder: Path,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> tuple[PreTrainedModel, list[dict[str, float]]]:
    """Pre-train contrastively on pairs of crops with mean pooling, and return the backbone and the training curve.

    The negatives are the other crops of a batch. A stopped training resumes from the checkpoints in `folder`.

    Args:
        texts: texts to draw the crops from.
    """
    start = folder / "start"
    with first_alone(device):
        if is_first() and not start.exists():
            with quiet(), new_folder(start) as new:
                model.save_pretrained(new)
                tokenizer.save_pretrained(new)
    retriever = load_retriever(start, pooling="mean", max_length=settings.max_length, device=device)
    pairs = cropped(texts, settings.steps * settings.batch_size * n_processes(), settings.seed)
    training = TrainingSettings(
        steps=settings.steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup=settings.warmup,
        weight_decay=settings.weight_decay,
        evaluations=settings.checkpoints,
        seed=settings.seed,
    )
    trained = train(
        build_model(retriever, Base(start, str(start)), training), pairs, training, folder, progress=progress
    )
    backbone: PreTrainedModel = transformers_of(without_new_pooler(trained.model, retriever))[0].model
    return backbone, [dict(row) for row in trained.curve]


def word_windows(texts: Sequence[str], words: int) -> list[str]:
    """Split texts into windows of at most `words` words, from which crops are drawn."""
    parts = [text.split() for text in texts]
    return [" ".join(part[at : at + words]) for part in parts for at in range(0, max(1, len(part)), words)]


def cropped(texts: Sequence[str], n: int, seed: int) -> Pairs:
    """Draw `n` pairs of two independent crops of one text. Each round over the texts has a new random order."""
    rng = np.random.default_rng(seed)
    words = [text.split() for text in texts if len(text.split()) > 1]
    if not words:
        raise TrainingError(
            "no document has two words or more, but a crop is drawn from two words at least",
            fix="give longer documents",
        )
    rounds = -(-n // len(words))
    order = [at for _ in range(rounds) for at in rng.permutation(len(words))][:n]
    pairs = [(_crop(words[at], rng), _crop(words[at], rng)) for at in order]
    return Pairs(tuple(first for first, _ in pairs), tuple(second for _, second in pairs))


def _crop(words: Sequence[str], rng: np.random.Generator) -> str:
    size = max(1, round(len(words) * rng.uniform(SHORTEST, LONGEST)))
    start = int(rng.integers(len(words) - size + 1))
    return " ".join(words[start : start + size])
