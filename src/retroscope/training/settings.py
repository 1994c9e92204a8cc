"""Settings of fine-tuning a backbone into a retriever."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from retroscope.errors import SettingsError, unknown_name
from retroscope.ranges import Distinct, Fraction, OneOrMore, Positive, Range, Seed, check_ranges

Dropout = Annotated[float, Range(0, 0.99)]
Decay = Annotated[float, Range(0, 1000)]

# Strategy -> its usual learning rate: the fewer weights are trained, the higher.
LEARNING_RATES: Mapping[str, float] = {"full": 2e-5, "lora": 2e-4, "head": 1e-3, "bitfit": 1e-3, "norms": 1e-3}
# Similarity -> its customary temperature. Cosines lie within 1 of one another and need a small one (SimCSE, Gao et al.
# 2021: .05); dot products are logits as they are (DPR, Karpukhin et al. 2020).
TEMPERATURES: Mapping[str, float] = {"cosine": 0.05, "dot": 1.0}
NEGATIVES = ("bm25", "given")
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """Settings of low-rank adaptation (LoRA; Hu et al., 2022, arXiv 2106.09685).

    Attributes:
        rank, alpha, dropout: parameters of the update B A x alpha / rank.
        targets: names of the linear layers to adapt, e.g. ("query", "value"); None adapts all of them.
    """

    rank: Annotated[int, Range(1, 65_536)] = 16
    alpha: Annotated[int, Range(1, 10**6)] = 32
    dropout: Dropout = 0.05
    targets: Annotated[tuple[str, ...], Distinct()] | None = None

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.targets == ():
            raise SettingsError(
                "training.lora.targets is an empty list",
                fix="name at least one linear layer to adapt, or leave out training.lora.targets to adapt all",
            )


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings of the contrastive fine-tuning of a retriever, with the other passages of a batch as negatives.

    Attributes:
        strategy: which weights are trained: "full" (all), "lora" (low-rank updates), "head" (a linear map of the pooled
            vectors of the frozen backbone), "bitfit" (biases; Ben Zaken et al. 2022) or "norms" (normalisation layers).
        two_towers: train one copy of the backbone for queries and one for passages.
        hard_negatives: number of hard negatives of each pair, in addition to the other passages of the batch.
        negatives: source of the hard negatives: "bm25", or "given" by the collection.
        mini_batch: number of texts that are encoded at once, so that a batch may be larger than what fits in memory
            (GradCache, Gao et al. 2021, arXiv 2101.06983). None encodes the whole batch at once.
        batch_size: number of pairs in a batch. No passage and no query occurs twice in a batch.
        epochs: number of passes over the pairs, unless `steps` is given.
        steps: number of optimiser steps, instead of `epochs`.
        learning_rate: the highest learning rate of the schedule. None takes the usual one of the strategy, e.g. 2e-5
            for "full".
        warmup: share of the steps in which the learning rate rises linearly; afterwards it falls linearly to 0.
        weight_decay: weight decay of AdamW.
        temperature: temperature of the softmax over scores. None takes the usual one of the similarity: .05 for cosine,
            1 for dot.
        evaluations: how often during the training the held-out queries are evaluated and a checkpoint is written.
        patience: number of evaluations without improvement after which training stops; None trains to the end. The best
            checkpoint is kept.
        precision: number format of the forward pass. The weights are float32.
        lora: settings of the strategy "lora".
        seed: seed of the order of the pairs, of dropout and of new weights.
    """

    strategy: str = "full"
    two_towers: bool = False
    hard_negatives: Annotated[int, Range(0, 10_000)] = 0
    negatives: str = "bm25"
    mini_batch: OneOrMore | None = None
    batch_size: Annotated[int, Range(2, 10**6, why="the rest of a batch are its negatives")] = 32
    epochs: Positive = 1.0
    steps: OneOrMore | None = None
    learning_rate: Positive | None = None
    warmup: Fraction = 0.1
    weight_decay: Decay = 0.01
    temperature: Positive | None = None
    evaluations: Annotated[int, Range(1, 100_000)] = 10
    patience: OneOrMore | None = None
    precision: str = "float32"
    lora: LoraSettings = field(default_factory=LoraSettings)
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        for kind, word, known in (
            ("strategy", self.strategy, LEARNING_RATES),
            ("precision", self.precision, PRECISIONS),
            ("source of negatives", self.negatives, NEGATIVES),
        ):
            if word not in known:
                raise unknown_name(kind, word, known)

    @property
    def peak_rate(self) -> float:
        """Return the highest learning rate of the schedule: that of the settings, else the strategy's usual one."""
        return LEARNING_RATES[self.strategy] if self.learning_rate is None else self.learning_rate

    def temperature_for(self, similarity: str) -> float:
        """Return the temperature of the loss: that of the settings, or else the usual one of the similarity."""
        return TEMPERATURES[similarity] if self.temperature is None else self.temperature
