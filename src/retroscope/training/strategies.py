"""Fine-tuning strategies: which weights of a model are trained."""

from collections.abc import Callable, Iterable, Mapping

import torch
from peft import LoraConfig
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.transformer import Transformer
from torch import nn

from retroscope.errors import TrainingError
from retroscope.training.settings import TrainingSettings


def set_trainable(model: SentenceTransformer, settings: TrainingSettings) -> None:
    """Make the weights that the strategy selects trainable, and freeze all others.

    Raises:
        TrainingError: if the strategy selects no weights (e.g. "bitfit" for LLaMA, which has no biases).
    """
    model.requires_grad_(False)
    STRATEGIES[settings.strategy](model, settings)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TrainingError(
            f"the strategy {settings.strategy!r} has no weights to train in this model",
            fix="use the strategy 'lora', 'norms' or 'full'",
        )


def moving(model: nn.Module) -> tuple[int, int]:
    """Count the trainable weights and all weights of a model."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, moves in sizes if moves), sum(size for size, _ in sizes)


def transformers_of(model: SentenceTransformer) -> list[Transformer]:
    """Return the transformer modules of a model: two if queries and passages have separate encoders, else one."""
    return [module for module in model.modules() if isinstance(module, Transformer)]


def _full(model: SentenceTransformer, settings: TrainingSettings) -> None:
    """Make all weights trainable except BERT's pooler, on which no text vector depends."""
    _let(p for name, p in model.named_parameters() if ".pooler." not in name)


def _lora(model: SentenceTransformer, settings: TrainingSettings) -> None:
    lora, named = settings.lora, [name for name, _ in model.named_modules()]
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear" if lora.targets is None else list(lora.targets),
        exclude_modules=".*pooler.*" if any("pooler" in name for name in named) else None,
        task_type="FEATURE_EXTRACTION",
    )
    torch.manual_seed(settings.seed)
    for transformer in transformers_of(model):
        transformer.model.add_adapter(config)


def _head(model: SentenceTransformer, settings: TrainingSettings) -> None:
    _let(p for module in model.modules() if isinstance(module, Dense) for p in module.parameters())


def _bitfit(model: SentenceTransformer, settings: TrainingSettings) -> None:
    _let(p for name, p in model.named_parameters() if name.endswith("bias") and ".pooler." not in name)


def _norms(model: SentenceTransformer, settings: TrainingSettings) -> None:
    _let(p for module in model.modules() if type(module).__name__.endswith("Norm") for p in module.parameters())


def _let(parameters: Iterable[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.requires_grad_(True)


STRATEGIES: Mapping[str, Callable[[SentenceTransformer, TrainingSettings], None]] = {
    "full": _full,
    "lora": _lora,
    "head": _head,
    "bitfit": _bitfit,
    "norms": _norms,
}
