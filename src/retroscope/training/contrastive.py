"""Fine-tune a backbone contrastively with the Trainer of sentence-transformers."""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util import SimilarityFunction
from torch import nn
from transformers import EarlyStoppingCallback, PrinterCallback

from retroscope.collection.collection import Collection
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.errors import MissingExtraError, TrainingError
from retroscope.progress import Progress
from retroscope.training.folder import last_checkpoint, step_of
from retroscope.training.masking import MaskedLoss, MaskedSimilarity, Relevance
from retroscope.training.pairs import Pairs
from retroscope.training.processes import n_processes
from retroscope.training.settings import TrainingSettings
from retroscope.training.strategies import set_trainable
from retroscope.training.watch import Watch, disk_errors, logged, rhythm, shared_arguments

MEASURE = "ndcg@10"  # of the held-out queries, by which the best checkpoint is chosen


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model in evaluation mode, with its training curve.

    Attributes:
        model: the trained model.
        curve: the training log: rows with `step` and either `loss` or the measures of the held-out queries.
        steps: number of optimiser steps that were done.
        chosen: step after which the model has these weights: the last step, or the best one by the held-out queries (in
            a tie, the latest).
        tied: whether the held-out queries had the same score at all evaluations, so that they selected nothing.
    """

    model: SentenceTransformer
    curve: tuple[Mapping[str, float], ...]
    steps: int
    chosen: int
    tied: bool = False


def train(
    model: SentenceTransformer,
    pairs: Pairs,
    settings: TrainingSettings,
    folder: Path,
    *,
    dev: Collection | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Fine-tune `model` in place, and return it with the training curve.

    A stopped training resumes from the checkpoints in `folder`.

    Args:
        model: result of `build_model`.
        pairs: the training pairs.
        dev: held-out queries that decide which checkpoint is kept, and when training stops. If None, the last step's
            weights are kept.
        progress: receives ("training", steps done, steps in all).

    Raises:
        TrainingError: for too few pairs, no weights to train, or a loss that is not finite.
        SettingsError: for a full disk.
    """
    if len(pairs) < 2:
        raise TrainingError(
            f"training needs at least 2 pairs, but there are {len(pairs)}",
            fix="give a split with more judged queries (--split)",
        )
    set_trainable(model, settings)
    trainer = _trainer(model, pairs, settings, folder, dev)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Watch(progress))
    with quiet(), disk_errors(folder):
        trainer.train(resume_from_checkpoint=last_checkpoint(folder))
        curve = logged(trainer.state.log_history)
        last, measured = trainer.state.global_step, held_out_scores(curve)
        step = best_step(measured, {step_of(path) for path in folder.glob("checkpoint-*")}) if measured else last
        if step != last:
            take_best(model, folder / f"checkpoint-{step}")
    # half precision was for training: the trainer leaves every later forward pass of the model in it
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    return Trained(model.eval(), curve, last, step, len(measured) > 1 and len({*measured.values()}) == 1)


def held_out_scores(curve: Sequence[Mapping[str, float]]) -> dict[int, float]:
    """Map each step at which the held-out queries were evaluated to their score (`MEASURE`)."""
    return {int(row["step"]): value for row in curve for name, value in row.items() if name.endswith(MEASURE)}


def best_step(measured: Mapping[int, float], kept: Set[int]) -> int:
    """Return the step with the best score of the held-out queries; in a tie, the latest step whose checkpoint exists.

    The Trainer itself would take the first of equal steps. If all scores are equal, the model of the first step is
    hardly trained.

    Args:
        measured: step -> score of the held-out queries.
        kept: steps whose checkpoints exist.
    """
    best = max(measured.values())
    return max(step for step, value in measured.items() if value == best and step in kept)


def take_best(model: SentenceTransformer, checkpoint: Path) -> None:
    """Load the weights of a checkpoint into the model; they must fit exactly."""
    best = SentenceTransformer(str(checkpoint), device="cpu").state_dict()
    model.load_state_dict(best)


def _trainer(
    model: SentenceTransformer, pairs: Pairs, settings: TrainingSettings, folder: Path, dev: Collection | None
) -> SentenceTransformerTrainer:
    stopping = [] if settings.patience is None or dev is None else [EarlyStoppingCallback(settings.patience)]
    with quiet():
        return SentenceTransformerTrainer(
            model=model,
            args=_arguments(model, pairs, settings, folder, dev is not None),
            train_dataset=_dataset(pairs),
            loss=info_nce(model, settings, pairs.relevance),
            evaluator=None if dev is None else _evaluator(model, dev, settings),
            callbacks=stopping,
        )


def check_installed() -> None:
    """Refuse to train without the library `datasets`, which only training needs.

    Raises:
        MissingExtraError: with the command that installs it.
    """
    if find_spec("datasets") is None:
        raise MissingExtraError("training needs the datasets library", fix="pip install 'retroscope[datasets]'")


def _dataset(pairs: Pairs) -> Any:
    from datasets import Dataset

    numbers = {} if pairs.relevance is None else {"label": list(range(len(pairs)))}  # which rows a batch holds
    return Dataset.from_dict({**pairs.columns, **numbers})


def info_nce(model: SentenceTransformer, settings: TrainingSettings, relevance: Relevance | None = None) -> nn.Module:
    """Return the InfoNCE loss over the passages of a batch (van den Oord et al., 2018), the loss of DPR.

    Args:
        relevance: judged relevance, by which relevant passages of other pairs are not used as negatives. The labels of
            a batch are then indices of training pairs. None: all passages but the own positive are negatives.
    """
    plain = SimilarityFunction.to_similarity_fn(model.similarity_fn_name)
    similarity = plain if relevance is None else MaskedSimilarity(plain, relevance)
    shared = {"scale": 1 / settings.temperature_for(model.similarity_fn_name), "similarity_fct": similarity}
    if settings.mini_batch is None:
        loss: nn.Module = MultipleNegativesRankingLoss(model, **shared)
    else:
        loss = CachedMultipleNegativesRankingLoss(model, mini_batch_size=settings.mini_batch, **shared)
    return MaskedLoss(loss, similarity) if isinstance(similarity, MaskedSimilarity) else loss


def _evaluator(model: SentenceTransformer, dev: Collection, settings: TrainingSettings) -> BaseEvaluator:
    relevant = {q: {p for p, r in dev.qrels[q].items() if r > 0} for q in dev.judged_queries}
    name = model.similarity_fn_name
    return InformationRetrievalEvaluator(
        queries={q: dev.queries[q].text for q in dev.judged_queries},
        corpus={p: dev.passage_text(p) for p in dev.passages},
        relevant_docs=relevant,
        accuracy_at_k=[10],
        precision_recall_at_k=[10],
        map_at_k=[10],
        batch_size=settings.mini_batch or settings.batch_size,
        name="dev",
        write_csv=False,
        score_functions={name: SimilarityFunction.to_similarity_fn(name)},
        main_score_function=name,
    )


def _arguments(
    model: SentenceTransformer, pairs: Pairs, settings: TrainingSettings, folder: Path, chooses: bool
) -> SentenceTransformerTrainingArguments:
    often = rhythm(planned_steps(pairs, settings), settings.evaluations)
    selection = {"eval_strategy": "steps", "eval_steps": often.save,
              "metric_for_best_model": f"eval_dev_{model.similarity_fn_name}_{MEASURE}",
              "greater_is_better": True} if chooses else {}  # fmt: skip
    return SentenceTransformerTrainingArguments(
        **shared_arguments(settings, settings.peak_rate, folder, often, model.device.type),
        num_train_epochs=settings.epochs,
        max_steps=settings.steps or -1,
        batch_sampler="no_duplicates",
        prompts=_prompts(model, pairs),
        router_mapping=_routes(pairs) if settings.two_towers else {},
        **selection,
    )


def planned_steps(pairs: Pairs, settings: TrainingSettings) -> int:
    """Return the largest possible number of optimiser steps of a training.

    It is exact if the settings give `steps`. Otherwise it is computed from `epochs` and full batches.
    """
    at_once = settings.batch_size * n_processes()
    return settings.steps or max(1, math.ceil(len(pairs) / at_once * settings.epochs))


def _prompts(model: SentenceTransformer, pairs: Pairs) -> dict[str, str]:
    return {column: model.prompts[route] for column, route in _routes(pairs).items() if model.prompts[route]}


def _routes(pairs: Pairs) -> dict[str, str]:
    return {column: "query" if column == "query" else "document" for column in pairs.columns}
