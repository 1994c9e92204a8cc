"""Settings that the function of a probe needs, taken from `ProbeSettings` and its protocol."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.ranges import OneOrMore, Positive, Range, check_ranges


@dataclass(frozen=True, kw_only=True)
class ConcatTraining:
    """Settings for training the published probe `concat`. The defaults are the published values.

    Attributes:
        learning_rate: learning rate of Adam.
        batch_size: number of probe examples in an optimiser step.
        epochs: number of passes over the training examples. The weights after the epoch with the best accuracy on the
            validation examples are reported.
    """

    learning_rate: Positive = 1e-4
    batch_size: OneOrMore = 32_768
    epochs: Annotated[int, Range(1, 100_000)] = 30

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings that the function of a probe needs, taken from `ProbeSettings` (see there) and its protocol."""

    ridge: tuple[float, ...]
    rank: int
    tolerance: float
    max_iterations: int
    concat: ConcatTraining
    first_index_wins: bool
