"""Training throughput against the bare sentence-transformers Trainer, by turns in one process.

    python benchmarks/training.py                                   # a random BERT of 4 blocks x 256, invented people
    python benchmarks/training.py --shape bert-medium --rounds 5

Both train the same model on the same pairs with the same loss, batch, schedule and sampler; ours adds the watch over
the loss, progress and checkpoints. Printed: seconds a step of each round, and the ratio of the medians.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from retroscope.collection.world.people import WorldSettings
from retroscope.collection.world.world import make_world
from retroscope.encoders.checkpoints.backbones import model_class, new_backbone
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.loading import load_retriever
from retroscope.training.contrastive import train
from retroscope.training.model import Base, build_model
from retroscope.training.pairs import Pairs, training_pairs
from retroscope.training.pretraining.shapes import family_of, shape_of
from retroscope.training.pretraining.vocabulary import train_tokenizer
from retroscope.training.settings import TrainingSettings


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="bert-mini")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    world = make_world(WorldSettings(people=1000, seed=0))
    pairs = training_pairs(world.collection("train"))
    settings = TrainingSettings(steps=chosen.steps, batch_size=chosen.batch_size, evaluations=1)
    took: dict[str, list[float]] = {"bare": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        base = backbone(chosen.shape, list(world.pretraining), Path(folder) / "backbone")
        for turn in range(chosen.rounds):
            order = ("bare", "ours") if turn % 2 == 0 else ("ours", "bare")
            for name in order:
                place = Path(folder) / f"{name}{turn}"
                took[name].append(TIMED[name](base, pairs, settings, place) / chosen.steps)
    for name, seconds in took.items():
        print(f"{name}: {', '.join(f'{s:.4f}' for s in seconds)} s a step")
    ratio = median(took["bare"]) / median(took["ours"])
    print(f"throughput of ours / bare: {ratio:.3f} ({chosen.shape}, batch {chosen.batch_size}, {chosen.steps} steps, "
          f"torch {torch.__version__}, {torch.get_num_threads()} threads)")  # fmt: skip


def backbone(shape: str, texts: list[str], folder: Path) -> Base:
    """Random weights on disk."""
    tokenizer = train_tokenizer(texts, "words", family_of(shape), max_length=64)
    config = shape_of(shape)(tokenizer, 64)
    with quiet():
        new_backbone(config, model_class(config)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return Base(folder, str(folder))


def model_of(base: Base, settings: TrainingSettings) -> SentenceTransformer:
    """The model that both train."""
    return build_model(load_retriever(base.folder, pooling="mean", similarity="cosine"), base, settings)


def ours(base: Base, pairs: Pairs, settings: TrainingSettings, folder: Path) -> float:
    """Seconds of our training loop."""
    folder.mkdir()
    model = model_of(base, settings)
    start = perf_counter()
    train(model, pairs, settings, folder, progress=lambda *_: None)
    return perf_counter() - start


def bare(base: Base, pairs: Pairs, settings: TrainingSettings, folder: Path) -> float:
    """Seconds of sentence-transformers' own, which writes one checkpoint at the end as ours does."""
    model = model_of(base, replace(settings))
    model.requires_grad_(True)
    start = perf_counter()
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=settings.steps or -1,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.peak_rate,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        batch_sampler="no_duplicates",
        save_strategy="steps",
        save_steps=settings.steps,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    loss = MultipleNegativesRankingLoss(model, scale=1 / settings.temperature_for("cosine"))
    with quiet():
        trainer = SentenceTransformerTrainer(
            model=model, args=arguments, train_dataset=Dataset.from_dict(pairs.columns), loss=loss
        )
        trainer.train()
    return perf_counter() - start


TIMED = {"bare": bare, "ours": ours}

if __name__ == "__main__":
    main()
