"""Settings of pre-training a backbone."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.errors import unknown_name
from retroscope.ranges import Fraction, OneOrMore, OpenFraction, Positive, Range, Seed, check_ranges
from retroscope.training.settings import PRECISIONS, Decay, Dropout

OBJECTIVES = {
    "mlm": "masked words (Devlin et al. 2019); spans for T5 (Raffel et al. 2020)",
    "clm": "the next word (decoders)",
    "retromae": "masked words, and the whole text rebuilt from its CLS vector (Xiao et al. 2022); BERT only",
    "crops": "contrastive: two random crops of one text are a positive pair (Izacard et al. 2022, Contriever)",
}


@dataclass(frozen=True, kw_only=True)
class PretrainingSettings:
    """Settings of the pre-training of a backbone.

    Attributes:
        objective: what is trained: "mlm" (predict masked tokens), "clm" (predict the next token), "retromae" (also
            rebuild the text from its CLS vector) or "crops" (pairs of random pieces of a text).
        steps: number of optimiser steps.
        batch_size: number of texts in a batch.
        max_length: largest number of tokens of a text. A longer text is cut into several. No text is dropped, and texts
            are not joined.
        masked: share of the tokens that are masked, for "mlm" and for the encoder of "retromae".
        decoder_masked: share of the tokens that are masked for the decoder of "retromae".
        learning_rate: the highest learning rate of the schedule.
        warmup: share of the steps in which the learning rate rises linearly; afterwards it falls linearly to 0.
        weight_decay: weight decay of AdamW.
        dropout: dropout rate of a new model.
        precision: number format of the forward pass, a name in `PRECISIONS`. The weights are float32.
        checkpoints: number of checkpoints that are written.
        seed: seed of new weights, of the order of the texts, of masks and of dropout.
    """

    objective: str = "mlm"
    steps: OneOrMore = 10_000
    batch_size: Annotated[int, Range(1, 10**6)] = 64
    max_length: Annotated[int, Range(1, 10**6)] = 128
    masked: OpenFraction = 0.3
    decoder_masked: OpenFraction = 0.5
    learning_rate: Positive = 1e-3
    warmup: Fraction = 0.05
    weight_decay: Decay = 0.01
    dropout: Dropout = 0.0
    precision: str = "float32"
    checkpoints: Annotated[int, Range(1, 10_000)] = 5
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.objective not in OBJECTIVES:
            raise unknown_name("objective", self.objective, OBJECTIVES)
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
