"""Result of the baselines: retrieval with the frozen backbone by pooling, layer and transformation of vectors."""

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
    """Retrieval with the frozen backbone under several poolings, layers and transformations of vectors, and controls.

    Attributes:
        gain: difference between the retriever and the backbone in every `measure`, from the study's main comparison.
        variants: a row for each model ("before", "after", "random weights"), pooling, layer, vectors and measure, with
            the interval of the mean. BM25 has a row for each measure and no pooling.
        left: difference between the retriever and the best variants of the backbone, over (best, measure). The two
            labels of `best` are "without training" and "linear head allowed".
        alike: difference between the best variants of the retriever and those of the backbone, over (best, measure).
        pre_training: difference between the best variants of the backbone and those of its random-weight copy, over
            (best, measure), or None without that control.
        shuffled: difference in every `measure` between search with a linear head that was trained on shuffled judgments
            and search without a head. None if no heads were trained.
        shares: a row for each best variant and measure: the share of the gain (after - before) that the backbone's best
            variant does not reach.
        choices: a row for each model, label of `best` and variant: in how many folds (`folds`) of all folds (`of`) the
            variant was chosen.
        left_out: pooling -> why it does not suit this model.
        tried: model -> how many variants without a linear head were compared.
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
        """Return the labels of the best variants, of which the first is "without training".

        If linear heads were trained, the second is "linear head allowed".
        """
        return tuple(str(name) for name in self.left.table.coords["best"].values)

    def choice(self, model: str, best: str) -> "pd.Series[object]":
        """Return the pooling, layer and kind of vectors that most folds chose for a model, under the label `best`."""
        mine = self.choices[(self.choices["model"] == model) & (self.choices["best"] == best)]
        return mine.loc[mine["folds"].idxmax()]
