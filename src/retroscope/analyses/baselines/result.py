"""Result of the baselines: retrieval with the frozen backbone under every variant."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from retroscope.errors import demand_columns
from retroscope.statistics import Difference

VARIANT_COLUMNS = ("model", "pooling", "layer", "vectors", "measure", "mean", "ci_low", "ci_high")
SHARE_COLUMNS = ("best", "measure", "share", "low", "high")
CHOICE_COLUMNS = ("model", "best", "pooling", "layer", "vectors", "as_compared", "folds", "of")
UNTRAINED, TRAINED = "without training", "linear head allowed"  # the two bests
RAW, UNIT, WHITENED, HEAD = "raw", "unit length", "whitened", "linear head"  # the vectors of a variant
BM25 = "BM25"
RANDOM = "random weights"


@dataclass(frozen=True, eq=False)
class BaselineResult:
    """Retrieval with the frozen backbone under several poolings, layers, whitening and linear heads, and its controls.

    Attributes:
        gain: the retriever as compared, against the backbone as compared, over `measure`.
        variants: a row a model ("before", "after", "random weights"), pooling, layer, vectors and measure, with the
            interval of the mean; BM25 has a row a measure and no pooling.
        left: the retriever as compared, against the best of the backbone, over (best, measure).
        alike: the best of the retriever against the best of the backbone.
        pre_training: the best of the backbone against the best of a random-weight copy; None without that control.
        shuffled: a linear head that learned shuffled judgments, against none, over `measure`; None without a head.
        shares: a row a best and measure: the part of after - before that the best of the backbone does not reach.
        choices: a row a model, best and variant: in how many `folds` `of` all it was chosen.
        left_out: pooling -> why it has no meaning for this model.
        tried: model -> variants without a head.
    """

    gain: Difference
    variants: pd.DataFrame
    left: Difference
    alike: Difference
    pre_training: Difference | None
    shuffled: Difference | None
    shares: pd.DataFrame
    choices: pd.DataFrame
    left_out: Mapping[str, str] = field(default_factory=dict)
    tried: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        demand_columns("variants", self.variants, VARIANT_COLUMNS, where="BaselineResult")
        demand_columns("shares", self.shares, SHARE_COLUMNS, where="BaselineResult")
        demand_columns("choices", self.choices, CHOICE_COLUMNS, where="BaselineResult")

    @property
    def bests(self) -> tuple[str, ...]:
        """Return the names of the measured best variants; the one chosen among the most variants comes last."""
        return tuple(str(name) for name in self.left.table.coords["best"].values)

    def choice(self, model: str, best: str) -> "pd.Series[object]":
        """Return the variant that was chosen in most folds as the `best` of a model."""
        mine = self.choices[(self.choices["model"] == model) & (self.choices["best"] == best)]
        return mine.loc[mine["folds"].idxmax()]
