"""Options of the commands that fine-tune a backbone."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from retroscope.cli.defaults import default_of, option
from retroscope.cli.options.shared import SettingValues
from retroscope.cli.values import given
from retroscope.training.settings import LEARNING_RATES, PRECISIONS, TrainingSettings

STRATEGIES = tuple(LEARNING_RATES)


def default(field: str) -> str:
    """Return the default of a training setting as help shows it."""
    return default_of(TrainingSettings, field)


@dataclass(frozen=True, kw_only=True)
class PassOptions:
    """Options of a training: batch size, number of epochs or steps, and learning rate."""

    HEADING: ClassVar[str] = "Training"

    batch_size: Annotated[
        int | None,
        option("--batch-size", help="Number of training pairs per batch; the other passages of the batch are "
                                    "negatives",
               metavar="N", default=default("batch_size")),
    ] = None  # fmt: skip
    epochs: Annotated[
        float | None,
        option("--epochs", help="Number of passes over the training pairs", metavar="X", default=default("epochs")),
    ] = None
    steps: Annotated[
        int | None, option("--steps", help="Number of optimiser steps, instead of --epochs", metavar="N")
    ] = None
    learning_rate: Annotated[
        float | None,
        option("--learning-rate", help="Peak learning rate", metavar="X", default="the strategy's"),
    ] = None

    def values(self) -> SettingValues:
        """Return the given options as fields of `TrainingSettings`. Options that were not given are left out."""
        return given(**vars(self))


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Options of a training: trained weights, towers, negatives, precision and seed."""

    HEADING: ClassVar[str] = "Training"

    strategy: Annotated[
        str | None,
        option("--strategy", help=f"Training strategy (which weights are trained): {', '.join(STRATEGIES)}",
               metavar="NAME", default=default("strategy"), known=STRATEGIES, kind="strategy"),
    ] = None  # fmt: skip
    two_towers: Annotated[
        bool, option("--two-towers", help="Train two copies of the backbone: one for queries, one for passages")
    ] = False
    hard_negatives: Annotated[
        int | None,
        option("--hard-negatives", help="Number of hard negatives per training pair, found by BM25", metavar="N",
               default=default("hard_negatives")),
    ] = None  # fmt: skip
    mini_batch: Annotated[
        int | None,
        option(
            "--mini-batch",
            help="Number of texts encoded at once in a training step, to save memory (GradCache)",
            metavar="N",
            default="the whole batch",
        ),
    ] = None
    precision: Annotated[
        str | None,
        option("--precision", help=f"Precision of the forward pass in training: {', '.join(PRECISIONS)}",
               metavar="NAME", default=default("precision"), known=PRECISIONS, kind="precision"),
    ] = None  # fmt: skip
    seed: Annotated[
        int | None,
        option(
            "--seed",
            help="Random seed for data order, dropout and the initial values of added weights",
            metavar="N",
            default=default("seed"),
        ),
    ] = None

    def values(self) -> SettingValues:
        """Return the given options as fields of `TrainingSettings`. Options that were not given are left out."""
        return given(**{**vars(self), "two_towers": self.two_towers or None})
