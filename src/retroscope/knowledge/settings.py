"""Settings of the fitted linear read-out, without heavy imports."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.ranges import OneOrMore, Positive, Range, Seed, check_ranges


@dataclass(frozen=True, kw_only=True)
class ReadoutSettings:
    """Settings for fitting the linear read-outs, one for each layer of each model. All models use the same settings.

    Attributes:
        positions: number of tokens of neutral text that the read-out learns to predict.
        held_out: number of further tokens, in other texts, on which the loss of the read-out is measured.
        steps: number of steps of the optimiser (Adam).
        batch: number of tokens in a step.
        learning_rate: learning rate of the first step. It falls to 0 along a cosine.
        longest: largest number of tokens of a text; longer texts are truncated.
        seed: seed of masks, batches and the split of the texts.
    """

    positions: Annotated[int, Range(100, 10**7)] = 8000
    held_out: Annotated[int, Range(50, 10**6)] = 1000
    steps: OneOrMore = 500
    batch: OneOrMore = 256
    learning_rate: Positive = 0.005
    longest: Annotated[int, Range(8, 4096)] = 64
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
